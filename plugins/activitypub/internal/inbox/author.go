package inbox

import (
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// KindAuthor holds the author of a far object by the object's id.
const KindAuthor store.Kind = "author"

func objects(id string) string { return "objects " + object.Origin(id) }

// NoteAuthor remembers whose a far object is, so that answers and reactions find
// their way without reading it again.
func NoteAuthor(s *store.Store, id, author string) error {
	if err := s.Cache(objects(id), KindAuthor, id, author); err != nil {
		return sdk.AsError("keep the author of a post", err)
	}
	return nil
}

// Author gives the author of a far object, empty if it is not known.
func Author(s *store.Store, id string) (string, error) {
	var author string
	if object.Origin(id) == "" {
		return "", nil
	}
	if _, err := s.Get(objects(id), KindAuthor, id, &author); err != nil {
		return "", sdk.AsError("look up the author of a post", err)
	}
	return author, nil
}
