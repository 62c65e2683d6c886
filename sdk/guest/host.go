package guest

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Operations of bh.call.
const (
	opRead = iota
	opLog
	opKVGet
	opKVSet
	opKVKeys
	opTimer
	opEmit
	opHTTP
	opConfig
	opSecret
	opMetric
	opReport
	opTime
)

// Level is the level of a log record.
type Level byte

// Levels of log records.
const (
	Debug Level = iota
	Info
	Warn
	Failure
)

// do performs an operation and fetches its answer, which is a copy.
func do(op uint32, arg []byte) ([]byte, error) {
	n := call(op, arg)
	size := n
	if n < 0 {
		size = 512
	}
	var answer []byte
	if size > 0 {
		answer = make([]byte, size)
		answer = answer[:max(call(opRead, answer), 0)]
	}
	if n < 0 {
		return nil, &Error{Kind: Kind(-n), Text: string(answer)}
	}
	return answer, nil
}

// Log writes a record (ability log). The host limits its rate.
func Log(level Level, text string) {
	_ = call(opLog, append([]byte{byte(level)}, text...))
}

// Get reads a value (ability kv); nil when there is no such key.
func Get(key string) ([]byte, error) {
	v, err := do(opKVGet, []byte(key))
	var e *Error
	if errors.As(err, &e) && e.Kind == NotFound {
		return nil, nil
	}
	return v, err
}

// Set stores a value (ability kv); nil deletes the key.
func Set(key string, value []byte) error {
	arg := appendString(nil, 1, key)
	if value != nil {
		arg = appendBytes(arg, 2, value)
	}
	_, err := do(opKVSet, arg)
	return err
}

// Keys lists keys that begin with prefix, after the key after (ability kv).
func Keys(prefix, after string) ([]string, error) {
	b, err := do(opKVKeys, appendString(appendString(nil, 1, prefix), 2, after))
	return strs(b, 1), err
}

// SetTimer sets or moves a timer of at least a second (ability timer); 0 stops it.
func SetTimer(id uint32, after time.Duration) error {
	_, err := do(opTimer, appendUint(appendUint(nil, 1, uint64(id)), 2, uint64(max(after, 0))))
	return err
}

// Publish hands events to the host (ability emit) and returns when they are on
// disk. A filter adds them to its verdict instead.
func Publish(events ...NewEvent) error {
	var arg []byte
	for _, e := range events {
		arg = appendBytes(arg, 1, e.append(nil))
	}
	_, err := do(opEmit, arg)
	return err
}

// HTTPRequest is a request to another server.
type HTTPRequest struct {
	Method string // empty = GET
	URL    string
	Header map[string]string
	Body   []byte
}

// HTTPResponse is its answer.
type HTTPResponse struct {
	Status int
	Body   []byte
	header []byte
}

// Header gives the first value of a header; name in canonical form.
func (r HTTPResponse) Header(name string) string { return named(r.header, 2, name) }

// Fetch makes an HTTP request (ability http) to a host on the operator's list.
func Fetch(r HTTPRequest) (HTTPResponse, error) {
	arg := appendString(nil, 1, r.Method)
	arg = appendString(arg, 2, r.URL)
	for name, value := range r.Header {
		arg = appendBytes(arg, 3, appendString(appendString(nil, 1, name), 2, value))
	}
	if len(r.Body) > 0 {
		arg = appendBytes(arg, 4, r.Body)
	}
	b, err := do(opHTTP, arg)
	if err != nil {
		return HTTPResponse{}, err
	}
	return HTTPResponse{Status: int(varintField(b, 1)), Body: sub(b, 3), header: b}, nil
}

// Secret reads a secret by name (ability secret).
func Secret(name string) (string, error) {
	b, err := do(opSecret, []byte(name))
	return string(b), err
}

// Count adds to a counter of the link (ability metrics).
func Count(name string, add float64) error {
	arg := appendString(nil, 1, name)
	arg = append(arg, 2<<3|wire64)
	arg = binary.LittleEndian.AppendUint64(arg, math.Float64bits(add))
	_, err := do(opMetric, arg)
	return err
}

// Report tells the state of the link (place empty) or of a place: 1 up,
// 2 degraded, 3 down, 4 failed.
func Report(place string, state int, reason string) error {
	arg := appendString(nil, 1, place)
	arg = appendUint(arg, 2, uint64(state))
	_, err := do(opReport, appendString(arg, 3, reason))
	return err
}

// Now is the host's clock.
func Now() time.Time { return time.Unix(0, call(opTime, nil)) }
