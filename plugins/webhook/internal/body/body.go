// Package body reads the body of a posted request into a JSON value, by its
// content type: JSON, form data in both forms, or plain text.
package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"bridgehost/plugins/webhook/internal/jsonval"
)

// Problem says why a body cannot be taken, in terms of an HTTP answer.
type Problem struct {
	Status int
	Detail string
	Remedy string
}

// Error gives the detail.
func (p *Problem) Error() string { return p.Detail }

const remedyType = "send Content-Type: application/json, application/x-www-form-urlencoded, multipart/form-data or text/plain"

// Accepted is the value of the Accept-Post header of an answer 415.
const Accepted = "application/json, application/x-www-form-urlencoded, multipart/form-data, text/plain"

// maxFields bounds the fields of a form.
const maxFields = 1000

// Decode reads the body. Form fields become an object of strings, a repeated
// field a list; a form whose only field is called payload and holds JSON is
// that JSON, as GitHub's form mode sends it. Plain text becomes a string. The
// error is a *Problem.
func Decode(contentType, encoding string, data []byte) (jsonval.Value, error) {
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return jsonval.Value{}, &Problem{http.StatusUnsupportedMediaType, fmt.Sprintf("content encoding %.40q is not read here", encoding), "send the body without Content-Encoding"}
	}
	if contentType == "" {
		return jsonval.Value{}, &Problem{http.StatusUnsupportedMediaType, "the Content-Type is missing", remedyType}
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return jsonval.Value{}, &Problem{http.StatusUnsupportedMediaType, "the Content-Type is malformed", remedyType}
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return jsonval.Value{}, &Problem{http.StatusUnsupportedMediaType, fmt.Sprintf("charset %.40q is not read here", cs), "send UTF-8"}
	}
	form := media == "application/x-www-form-urlencoded" || media == "multipart/form-data"
	isJSON := media == "application/json" || media == "text/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
	if !form && !isJSON && media != "text/plain" {
		return jsonval.Value{}, &Problem{http.StatusUnsupportedMediaType, fmt.Sprintf("content type %.80q is not read here", media), remedyType}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return jsonval.Value{}, &Problem{http.StatusBadRequest, "the body is empty", "send what the message should show"}
	}
	switch {
	case isJSON:
		return decodeJSON(data)
	case media == "text/plain":
		if !utf8.Valid(data) {
			return jsonval.Value{}, &Problem{http.StatusBadRequest, "the text is not valid UTF-8", "send UTF-8"}
		}
		return jsonval.Str(string(data)), nil
	case media == "multipart/form-data":
		return decodeMultipart(params["boundary"], data)
	default:
		return decodeForm(data)
	}
}

func decodeJSON(data []byte) (jsonval.Value, error) {
	v, err := jsonval.Parse(data)
	if err == nil {
		return v, nil
	}
	var se *jsonval.SyntaxError
	if errors.As(err, &se) && se.Limit {
		return v, &Problem{http.StatusRequestEntityTooLarge, "the JSON is too large: " + err.Error(), "send less"}
	}
	return v, &Problem{http.StatusBadRequest, "the body is no valid JSON: " + err.Error(), "check the body, for instance with jq"}
}

// decodeForm reads application/x-www-form-urlencoded, keeping the order of the
// fields (URL standard §5.1).
func decodeForm(data []byte) (jsonval.Value, error) {
	v := jsonval.Value{Kind: jsonval.Object}
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(string(data)), "&") {
		if part == "" {
			continue
		}
		if n++; n > maxFields {
			return v, tooManyFields()
		}
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return v, &Problem{http.StatusBadRequest, fmt.Sprintf("field %d of the form is wrongly escaped", n), "escape % as %25, as curl --data-urlencode does"}
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return v, &Problem{http.StatusBadRequest, fmt.Sprintf("field %d of the form is not valid UTF-8", n), "send UTF-8"}
		}
		v.Add(name, jsonval.Str(value))
	}
	return unwrap(v)
}

func tooManyFields() error {
	return &Problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the form has more than %d fields", maxFields), "send fewer fields"}
}

// decodeMultipart reads multipart/form-data (RFC 7578). Files are named, not kept.
func decodeMultipart(boundary string, data []byte) (jsonval.Value, error) {
	v := jsonval.Value{Kind: jsonval.Object}
	bad := func(what string) error {
		return &Problem{http.StatusBadRequest, "the multipart form is malformed: " + what, "send it as curl --form does"}
	}
	if boundary == "" {
		return v, bad("the boundary is missing")
	}
	r := multipart.NewReader(bytes.NewReader(data), boundary)
	for n := 1; ; n++ {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v, bad(fmt.Sprintf("part %d cannot be read", n))
		}
		if n > maxFields {
			return v, tooManyFields()
		}
		name := part.FormName()
		if name == "" {
			return v, bad(fmt.Sprintf("part %d has no name", n))
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return v, bad(fmt.Sprintf("part %d has no end", n))
		}
		text := string(content)
		if file := part.FileName(); file != "" {
			text = fmt.Sprintf("%s (file, %d bytes)", file, len(content))
		}
		if !utf8.ValidString(name) || !utf8.ValidString(text) {
			return v, &Problem{http.StatusBadRequest, fmt.Sprintf("part %d of the form is not valid UTF-8", n), "send UTF-8"}
		}
		v.Add(name, jsonval.Str(text))
	}
	return unwrap(v)
}

// unwrap takes the JSON out of a form that carries it in its one field payload.
func unwrap(v jsonval.Value) (jsonval.Value, error) {
	if len(v.Names) == 0 {
		return v, &Problem{http.StatusBadRequest, "the form has no fields", "send what the message should show"}
	}
	if len(v.Names) != 1 || v.Names[0] != "payload" || v.Items[0].Kind != jsonval.String {
		return v, nil
	}
	text := strings.TrimSpace(v.Items[0].Text)
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return v, nil
	}
	inner, err := decodeJSON([]byte(text))
	if err != nil {
		var p *Problem
		if errors.As(err, &p) {
			return v, &Problem{p.Status, "field payload: " + p.Detail, p.Remedy}
		}
		return v, err
	}
	return inner, nil
}
