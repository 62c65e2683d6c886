package sign

import (
	"errors"
	"fmt"
)

// Reason says why a signature is refused; it is fit for a counter's label and for an answer's body.
type Reason string

// Reasons to refuse.
const (
	NoSignature    Reason = "no_signature"       // none at all
	ManySignatures Reason = "several_signatures" // more than one, so that readers could look at different ones
	Malformed      Reason = "malformed_signature"
	Algorithm      Reason = "algorithm_mismatch" // the name does not fit the key, or is not known
	Uncovered      Reason = "not_covered"        // something that must be signed is not
	NoDigest       Reason = "no_digest"          // none, or none of SHA-256 or SHA-512
	ManyDigests    Reason = "several_digests"
	DigestMismatch Reason = "digest_mismatch"
	Stale          Reason = "too_old"
	Future         Reason = "in_the_future"
	Expired        Reason = "expired"
	WrongHost      Reason = "wrong_host"
	BadKeyID       Reason = "bad_key_id"         // no URL of a key
	NoKey          Reason = "key_unavailable"    // could not be read; the cause is wrapped and may be temporary
	KeyOwner       Reason = "key_owner_mismatch" // the key is not its owner's
	BadSignature   Reason = "bad_signature"
	ActorMismatch  Reason = "actor_key_mismatch" // the key is another actor's
	NoProof        Reason = "no_proof"           // the document has no proof that is known here
)

// Error says why a signature or proof was refused. Detail never holds secrets nor values that the sender chose.
type Error struct {
	Reason Reason
	Detail string
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	s := "signature: " + string(e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Public gives the text for the answer to the sender: the reason and the detail, without the cause, which may tell of our network.
func (e *Error) Public() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is lets errors.Is compare the reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason && t.Detail == ""
}

// ReasonOf gives the reason of a refusal, empty if err is none.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
