package codec

import (
	"errors"
	"time"

	"bridgehost/sdk"
)

// wireError is an error as it is written.
type wireError struct {
	kind       sdk.Kind
	op, public string
	after      time.Duration
	text       string
	faults     []sdk.Fault
}

func (c *coder) fault(f *sdk.Fault) {
	c.string(1, &f.Key)
	c.string(2, &f.Problem)
	c.string(3, &f.Remedy)
}

func (c *coder) errorPart(e *wireError) {
	enum(c, 1, &e.kind)
	c.string(2, &e.op)
	c.string(3, &e.public)
	c.duration(4, &e.after)
	c.string(5, &e.text)
	list(c, 6, &e.faults, (*coder).fault)
}

// errorField visits an optional error.
func (c *coder) errorField(num fieldNumber, p **sdk.Error) {
	var e wireError
	if c.enc && *p != nil {
		e = fromError(*p)
	}
	for f := c.enter(num, *p != nil); c.step(&f); {
		if *p == nil {
			*p = new(sdk.Error)
		}
		c.errorPart(&e)
		if !c.enc {
			**p = *e.sdkError()
		}
	}
}

// fromError gives the wire's form of err, which keeps what sdk.AsError keeps,
// and the faults of a configuration error.
func fromError(err error) wireError {
	var faults *sdk.ConfigError
	if errors.As(err, &faults) {
		return wireError{kind: sdk.Invalid, text: err.Error(), faults: faults.Faults}
	}
	e := sdk.AsError("", err)
	w := wireError{kind: e.Kind, op: e.Op, public: e.Public, after: e.After}
	if e.Err != nil {
		w.text = e.Err.Error()
	}
	return w
}

func (e *wireError) sdkError() *sdk.Error {
	out := &sdk.Error{Kind: e.kind, Op: e.op, Public: e.public, After: e.after}
	if e.text != "" {
		out.Err = errors.New(e.text)
	}
	return out
}

// err gives the Go error: *sdk.ConfigError when there are faults.
func (e *wireError) err() error {
	if len(e.faults) > 0 {
		return &sdk.ConfigError{Faults: e.faults}
	}
	return e.sdkError()
}

// AppendError writes err, which must not be nil, as message Error. A
// *sdk.ConfigError in its chain keeps its faults, any other error its kind,
// public text, operation and delay.
func AppendError(dst []byte, err error) []byte {
	w := fromError(err)
	c := newWriter(dst)
	c.errorPart(&w)
	return c.finish()
}

// DecodeError reads what AppendError wrote: a *sdk.ConfigError or *sdk.Error.
// The second result is the error of reading.
func DecodeError(b []byte) (remote, err error) {
	var w wireError
	c := newReader(b, true)
	for c.walk() {
		c.errorPart(&w)
	}
	if err := c.close("error"); err != nil {
		return nil, err
	}
	return w.err(), nil
}
