package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/go-fed/activity/streams"
	"github.com/go-fed/activity/streams/vocab"
)

// ErrNoVocab says that the vocabulary of go-fed has no such type, as of EmojiReact, ChatMessage or QuoteRequest: the object is used by
// its accessors alone.
var ErrNoVocab = errors.New("type is not of the vocabulary")

// vocabContext stands in for whatever context a document has: names are compact ones, whoever wrote them.
var vocabContext = []any{ContextStreams, ContextSecurity, "http://joinmastodon.org/ns"}

// Vocab gives go-fed's typed value of the object, which is a copy. It costs some 200 µs for a post, so callers that only look at a few
// members use the accessors. The error wraps ErrNoVocab for a type that go-fed does not know.
func (o *Object) Vocab(ctx context.Context) (t vocab.Type, err error) {
	if ClassOf(o.Type()) == ClassUnknown && !o.Is("Object") {
		return nil, fmt.Errorf("typed value of %q: %w", o.Type(), ErrNoVocab)
	}
	m, _ := floats(o.m).(map[string]any)
	m["@context"] = vocabContext
	m["type"] = o.Type()
	delete(m, "@type")
	defer func() {
		if r := recover(); r != nil { // generated code dereferences what odd documents leave out
			t, err = nil, fmt.Errorf("typed value of %s: %v", o.Type(), r)
		}
	}()
	t, err = streams.ToType(ctx, m)
	switch {
	case streams.IsUnmatchedErr(err) || errors.Is(err, streams.ErrUnhandledType):
		return nil, fmt.Errorf("typed value of %q: %w", o.Type(), ErrNoVocab)
	case err != nil:
		return nil, fmt.Errorf("typed value of %s: %w", o.Type(), err)
	}
	return t, nil
}

// FromVocab makes an object of go-fed's typed value. What go-fed loses or spells anew of from, the object that the value was made of
// (contentMap beside content, lists of one, nulls, fractions of seconds, spelling of numbers and URLs, contexts, further types), is
// supplied from it where the typed value was not changed; from may be nil.
func FromVocab(ctx context.Context, t vocab.Type, from *Object) (*Object, error) {
	out, err := serialized(t)
	if err != nil || from == nil {
		return &Object{m: out}, err
	}
	before, err := from.Vocab(ctx)
	if err != nil {
		return nil, err
	}
	base, err := serialized(before)
	if err != nil {
		return nil, err
	}
	m, _ := supplied(out, base, from.m).(map[string]any)
	return &Object{m: m}, nil
}

func serialized(t vocab.Type) (map[string]any, error) {
	m, err := streams.Serialize(t)
	if err != nil {
		return nil, fmt.Errorf("serialising a typed %s: %w", t.GetTypeName(), err)
	}
	delete(m, "@context")
	out, err := jsonValue(m)
	if err != nil {
		return nil, fmt.Errorf("serialising a typed %s: %w", t.GetTypeName(), err)
	}
	made, _ := out.(map[string]any)
	return made, nil
}

// supplied gives from with the changes that lead from base, which is what go-fed makes of from, to out.
func supplied(out, base, from any) any {
	if reflect.DeepEqual(out, base) {
		return from
	}
	if l, ok := from.([]any); ok && len(l) == 1 {
		if _, ok := base.([]any); !ok {
			if _, ok := out.([]any); !ok && out != nil {
				return []any{supplied(out, base, l[0])}
			}
		}
	}
	switch o := out.(type) {
	case map[string]any:
		b, ok1 := base.(map[string]any)
		f, ok2 := from.(map[string]any)
		if !ok1 || !ok2 {
			return out
		}
		m := make(map[string]any, len(f))
		for k, v := range f {
			if _, kept := o[k]; kept || b[k] == nil {
				m[k] = v
			}
		}
		for k, v := range o {
			m[k] = supplied(v, b[k], f[k])
		}
		return m
	case []any:
		b, ok1 := base.([]any)
		f, ok2 := from.([]any)
		if !ok1 || !ok2 || len(b) != len(o) || len(f) != len(o) {
			return out
		}
		l := make([]any, len(o))
		for i := range o {
			l[i] = supplied(o[i], b[i], f[i])
		}
		return l
	}
	return out
}

// floats gives a deep copy with numbers as go-fed expects them.
func floats(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v)+1)
		for k, e := range v {
			if k != "@context" {
				m[k] = floats(e)
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = floats(e)
		}
		return l
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return string(v)
		}
		return f
	default:
		return v
	}
}

// jsonValue turns what go-fed serialises into the kinds of value that a parser gives.
func jsonValue(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return parseJSON(raw, Limits{Size: 64 << 20, Depth: 256, List: 1 << 20, Values: 1 << 20})
}
