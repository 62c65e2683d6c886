package sdk

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what an error means for what happens next; it survives every border.
type Kind uint8

// Kinds of error.
const (
	Unknown      Kind = iota // treated as Transient
	Transient                // try again later
	RateLimited              // try again After
	Overloaded               // the host or link cannot take more now; try again After
	Invalid                  // the request is wrong and stays wrong
	Forbidden                // the network or the host does not allow it
	NotFound                 // what it is about does not exist
	Gone                     // it existed and does no more
	Conflict                 // somebody else has it: a nick, a connection
	Unsupported              // cannot be expressed here
	TooLarge                 // over a limit
	Unauthorized             // credentials are missing or wrong
	Internal                 // a defect; the text says where
)

var errorKindNames = [...]string{
	"unknown", "transient", "rate-limited", "overloaded", "invalid", "forbidden", "not-found", "gone",
	"conflict", "unsupported", "too-large", "unauthorized", "internal",
}

// String gives the name used in logs and metrics.
func (k Kind) String() string {
	if int(k) < len(errorKindNames) {
		return errorKindNames[k]
	}
	return "unknown"
}

// Temporary reports whether trying again later can help.
func (k Kind) Temporary() bool {
	switch k {
	case Unknown, Transient, RateLimited, Overloaded:
		return true
	default:
		return false
	}
}

// Error is an error at a border between processes. Public is what people on
// the networks may read; Err is for the operator.
type Error struct {
	Op     string // operation and object, such as "join ops@muc.example.org"
	Kind   Kind
	Public string
	After  time.Duration // for RateLimited and Overloaded; 0 = not said
	Err    error
}

// Error gives the operator's text.
func (e *Error) Error() string {
	switch {
	case e.Op == "" && e.Err == nil:
		if e.Public != "" {
			return e.Public
		}
		return e.Kind.String()
	case e.Err == nil:
		if e.Public != "" {
			return e.Op + ": " + e.Public
		}
		return e.Op + ": " + e.Kind.String()
	case e.Op == "":
		return e.Err.Error()
	default:
		return e.Op + ": " + e.Err.Error()
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind; the format is as for fmt.Errorf.
func Errorf(kind Kind, op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// KindOf gives the kind of an error: that of the outermost *Error in its chain;
// Transient for an ended context; Unknown for all others.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Transient
	default:
		return Unknown
	}
}

// AsError gives err as an *Error for the border, nil for nil.
func AsError(op string, err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if error(e) == err { //nolint:errorlint // asks whether err itself is e, not whether it wraps it
			return e
		}
		return &Error{Op: op, Kind: e.Kind, Public: e.Public, After: e.After, Err: err}
	}
	return &Error{Op: op, Kind: KindOf(err), Err: err}
}
