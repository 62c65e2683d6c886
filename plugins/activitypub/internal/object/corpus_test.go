package object

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// corpus gives the folder of documents, and skips or fails where it is not.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("BRIDGEHOST_CORPUS")
	if dir == "" {
		at, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; at != filepath.Dir(at); at = filepath.Dir(at) {
			if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
				dir = filepath.Join(at, "..", "shared", "corpus")
				break
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "activitypub", "*.json"))
	if err != nil || len(files) < 371 {
		if os.Getenv("BRIDGEHOST_CORPUS_REQUIRED") == "1" {
			t.Fatalf("corpus: %d documents, want 371 or more (%v)", len(files), err)
		}
		t.Skipf("corpus: %d documents, want 371 or more: set BRIDGEHOST_CORPUS", len(files))
	}
	out := map[string][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = raw
	}
	return out
}

// lost gives the JSON pointers of what is in want and not in got. One value and a list of it are the same, null and nothing too.
func lost(got, want any, where string, out *[]string) {
	if reflect.DeepEqual(got, want) {
		return
	}
	if l, ok := want.([]any); ok && len(l) == 1 {
		if _, ok := got.([]any); !ok {
			want = l[0]
		}
	} else if l, ok := got.([]any); ok && len(l) == 1 {
		if _, ok := want.([]any); !ok {
			got = l[0]
		}
	}
	switch w := want.(type) {
	case nil:
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			*out = append(*out, where)
			return
		}
		for k, e := range w {
			if k != "@context" {
				lost(g[k], e, where+"/"+k, out)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			*out = append(*out, where)
			return
		}
		for i := range w {
			lost(g[i], w[i], where+"/"+strconv.Itoa(i), out)
		}
	default:
		if !reflect.DeepEqual(got, want) {
			*out = append(*out, where)
		}
	}
}

func generic(t *testing.T, raw []byte) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// refusedDocuments are those that no strict reader takes.
var refusedDocuments = map[string]Reason{
	"pleroma__poll_attachment-question": Duplicate, // closed is given twice
}

// TestCorpusRoundTrip reads every document, writes it, and compares; known types also go through the typed vocabulary and back.
func TestCorpusRoundTrip(t *testing.T) {
	docs := corpus(t)
	members, refused, known, whole, typed, typedWhole, raw := 0, 0, 0, 0, 0, 0, 0
	for name, b := range docs {
		t.Run(name, func(t *testing.T) {
			members++
			o, err := Parse(b)
			if reason, odd := refusedDocuments[name]; odd {
				refused++
				if !errors.Is(err, &Error{Reason: reason}) {
					t.Errorf("got %v, want a refusal for %s", err, reason)
				}
				return
			}
			if err != nil {
				t.Errorf("refused: %v", err)
				return
			}
			if o.Class() == ClassUnknown {
				raw++
			} else {
				known++
			}
			want := generic(t, b)
			back, err := o.Document()
			if err != nil {
				t.Fatal(err)
			}
			var missing []string
			lost(generic(t, back), want, "", &missing)
			if len(missing) > 0 {
				t.Errorf("lost in a round trip: %v", missing)
			} else if o.Class() != ClassUnknown {
				whole++
			}
			v, err := o.Vocab(context.Background())
			if errors.Is(err, ErrNoVocab) {
				return
			}
			if err != nil {
				t.Errorf("vocabulary: %v", err)
				return
			}
			typed++
			again, err := FromVocab(context.Background(), v, o)
			if err != nil {
				t.Fatal(err)
			}
			back, err = again.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			missing = nil
			lost(generic(t, back), want, "", &missing)
			if len(missing) > 0 {
				t.Errorf("lost in a round trip by the vocabulary: %v", missing)
				return
			}
			typedWhole++
		})
	}
	t.Logf("%d documents: %d refused, %d of known types of which %d (%.1f %%) are whole again, %d of other types kept raw",
		members, refused, known, whole, 100*float64(whole)/float64(max(1, known)), raw)
	t.Logf("through the typed vocabulary: %d, whole again %d (%.1f %%)", typed, typedWhole, 100*float64(typedWhole)/float64(max(1, typed)))
}

// TestCorpusMutated reads each document cut off at 64 places, and with each member in turn replaced by what does not belong there.
func TestCorpusMutated(t *testing.T) {
	cut, read := 0, 0
	for name, raw := range corpus(t) {
		raw = bytes.TrimSpace(raw)
		for i := range 64 {
			if _, err := Parse(raw[:len(raw)*i/64]); err == nil {
				t.Errorf("%s cut at %d of 64 was taken", name, i)
			}
			cut++
		}
		o, err := Parse(raw)
		if err != nil {
			continue
		}
		for _, k := range o.Keys() {
			for _, v := range []any{nil, "x", json.Number("7"), []any{}, map[string]any{}, []any{o.Value(k)}, true} {
				b, err := o.Clone().Set(k, v).MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				if m, err := Parse(b); err == nil {
					touch(m, t)
					if s, ok := v.(string); v != nil && (!ok || s != "x") {
						continue // the typed value costs most of the time
					}
					if _, err := m.Vocab(context.Background()); err == nil {
						read++
					}
				}
			}
		}
	}
	t.Logf("%d cut, %d mutated ones are typed", cut, read)
}

// TestAdversarial gives the hostile documents of the corpus the context in which a server meets them. WebFinger answers are no documents
// of this package.
func TestAdversarial(t *testing.T) {
	docs := corpus(t)
	for _, c := range []struct {
		name  string
		check func(o *Object) error
		want  Reason
	}{
		{"fedify__adversarial-example.com-cross-origin-actor-create", (*Object).CheckActivity, ActorOrigin},
		{"fedify__adversarial-example.com-wrong-type-https---example.com", fetched("https://example.com/"), NoID},
		{"mastodon__adversarial-bogus-mastodon-announce", (*Object).CheckEmbedded, ObjectOwner},
		{"mastodon__adversarial-evil-remote.example_with_keyid_from_admin-mastdon.example.org-person", (*Object).CheckKeys, KeyOwner},
		{"pleroma__adversarial-spoofed-object-note", fetched("https://media.example/x.json"), ActorOrigin},
		{"microblogpub__adversarial-user_with_invalid_also_known_as-person", (*Object).CheckKeys, ""},
		{"misskey__adversarial-misskey_poll_no_end_date-question", nil, ""},
		{"kroeg__adversarial-kroeg-array-less-emoji-create-note", (*Object).CheckActivity, ""},
		{"gancio__adversarial-bad-location-without-a-name-place", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := Parse(docs[c.name])
			if err == nil && c.check != nil {
				err = c.check(o)
			}
			if reason(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func fetched(address string) func(*Object) error {
	return func(o *Object) error {
		_, err := o.CheckFetched(address)
		return err
	}
}
