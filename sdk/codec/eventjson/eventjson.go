// Package eventjson reads and writes events as JSON: the JSON form that
// protobuf gives message Event of proto/bridgehost/plugin/v1 (names in
// lowerCamelCase, bytes in base64). Authors of plugins write the test vectors
// of bridgehost plugin test in it. It is not made for speed.
package eventjson

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/internal/pluginpb"
)

// Unmarshal reads an event. Unknown names are errors.
func Unmarshal(text []byte) (sdk.Event, error) {
	m := &pluginpb.Event{}
	if err := protojson.Unmarshal(text, m); err != nil {
		return sdk.Event{}, fmt.Errorf("read event: %w", err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return sdk.Event{}, fmt.Errorf("read event: %w", err)
	}
	return codec.DecodeEvent(b)
}

// Marshal writes an event, indented by two spaces, always in the same form.
func Marshal(e *sdk.Event) ([]byte, error) {
	m := &pluginpb.Event{}
	if err := proto.Unmarshal(codec.AppendEvent(nil, e), m); err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	var out bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	return out.Bytes(), nil
}
