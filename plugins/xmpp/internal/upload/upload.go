package upload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// op names the operation in errors.
const op = "upload file"

// Options configure an Uploader. Zero values mean the default named at each field.
type Options struct {
	Server  string // domain of the XMPP server whose services are searched
	Service string // address of the service; default: searched

	Guard    *netguard.Guard // which addresses uploads may go to; default: the public Internet
	Plain    bool            // slots may have http addresses; without it only literal addresses that Guard excepts may
	RootCAs  *x509.CertPool  // authorities for the upload; default: the system's
	Fetcher  Fetcher         // reads foreign files; nil: only media with Data can be uploaded
	Foreign  bool            // Rehost also uploads media that has an address already
	Dir      string          // for files on their way; default: the system's folder
	MaxSize  int64           // bytes of one file; default 64 MiB. The service may allow less.
	Timeout  time.Duration   // one upload with everything that belongs to it; default 2 min
	Parallel int             // uploads at the same time, others wait; default 4
	Remember int             // uploads remembered; default 2,048
	Life     time.Duration   // how long an upload is remembered; default 24 h, well below what servers keep
	Now      func() time.Time
}

// Uploader uploads files to one server. It is safe for use by many goroutines,
// starts none, and keeps nothing on disk after a call.
type Uploader struct {
	o      Options
	stream IQer
	client *http.Client
	slots  chan struct{} // one token for each upload on its way
	done   *cache
	found  finder
}

// New makes an Uploader that asks over stream.
func New(stream IQer, o Options) *Uploader {
	def := func(have *int, value int) {
		if *have <= 0 {
			*have = value
		}
	}
	def(&o.Parallel, 4)
	def(&o.Remember, 2048)
	if o.MaxSize <= 0 {
		o.MaxSize = 64 << 20
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Life <= 0 {
		o.Life = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Guard == nil {
		o.Guard = netguard.New()
	}
	transport := o.Guard.Transport(o.Timeout)
	if o.RootCAs != nil {
		transport.TLSClientConfig = tlsConfig(o.RootCAs)
	}
	return &Uploader{
		o: o, stream: stream, slots: make(chan struct{}, o.Parallel), done: newCache(o.Remember, o.Life, o.Now),
		found:  finder{lock: make(chan struct{}, 1)},
		client: &http.Client{Transport: transport, CheckRedirect: o.Guard.Redirects(0, true)},
	}
}

// Close ends idle connections to the upload service.
func (u *Uploader) Close() { u.client.CloseIdleConnections() }

// Available reports whether the server has an upload service, and the size of the
// largest file that can be uploaded. It asks the server at most once an hour.
func (u *Uploader) Available(ctx context.Context, from string) (maxSize int64, ok bool) {
	s, err := u.service(ctx, from)
	if err != nil {
		return 0, false
	}
	return u.limit(s), true
}

// limit is the largest file that may be uploaded to s.
func (u *Uploader) limit(s Service) int64 {
	if s.MaxSize > 0 && s.MaxSize < u.o.MaxSize {
		return s.MaxSize
	}
	return u.o.MaxSize
}

// Upload puts the content of m, or what its address gives, on the server and
// returns the address for readers. from is the address in whose name the slot is
// asked for; at a component it must be of its domain. Content that was uploaded
// a short time ago is not uploaded again.
//
// Kinds of error: Unsupported (the server has no service), TooLarge, Forbidden
// (the service or an address filter refuses), RateLimited (with After), NotFound
// and Gone (of a foreign file), Invalid (the slot), Transient.
func (u *Uploader) Upload(ctx context.Context, from string, m sdk.Media) (string, *sdk.Error) {
	done, err := u.upload(ctx, from, m)
	if err != nil {
		return "", sdk.AsError(op, err)
	}
	return done.url, nil
}

// Rehost gives m with an address on the server: where the bridge holds the
// content itself, and for all media if Options.Foreign is set. Otherwise, and
// with an error, m comes back as it was.
func (u *Uploader) Rehost(ctx context.Context, from string, m sdk.Media) (sdk.Media, *sdk.Error) {
	if len(m.Data) == 0 && (!u.o.Foreign || m.URL == "") {
		return m, nil
	}
	done, err := u.upload(ctx, from, m)
	if err != nil {
		return m, sdk.AsError(op, err)
	}
	m.URL, m.Digest, m.Size, m.Type, m.Data = done.url, done.digest, done.size, done.mediaType, nil
	m.Name = FileName(m.Name, m.Type)
	return m, nil
}

// RehostAll does what Rehost does for all files of an item, in a slice of their
// own. A file that cannot be uploaded stays as it was, and its place then shows
// what it can of it. Only where a file has no address at all, and a later try may
// give it one, is there an error: the delivery should wait for After or longer.
// lost tells of files that should be on our server and are only linked.
func (u *Uploader) RehostAll(ctx context.Context, from string, media []sdk.Media) (out []sdk.Media, lost []sdk.Loss, later *sdk.Error) {
	out = make([]sdk.Media, len(media))
	for i, m := range media {
		var err *sdk.Error
		out[i], err = u.Rehost(ctx, from, m)
		switch {
		case err == nil:
		case m.URL != "":
			lost = append(lost, sdk.Loss{Kind: sdk.LossMedia, Detail: "a file is only linked, not put on the server: " + err.Kind.String()})
		case later == nil && err.Kind.Temporary():
			later = err
		}
	}
	return out, lost, later
}

func (u *Uploader) upload(ctx context.Context, from string, m sdk.Media) (done uploaded, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.o.Timeout)
	defer cancel()
	source := "url " + m.URL
	if done, ok := u.before(source, m); ok {
		return done, nil
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return uploaded{}, fmt.Errorf("wait for other uploads: %w", ctx.Err())
	}
	if done, ok := u.before(source, m); ok { // by one of those that it waited for
		return done, nil
	}
	s, err := u.service(ctx, from)
	if err != nil {
		return uploaded{}, err
	}
	c, mediaType, err := u.content(ctx, m, u.limit(s))
	if err != nil {
		return uploaded{}, err
	}
	defer func() {
		if closed := c.close(); closed != nil {
			err = errors.Join(err, closed)
		}
	}()
	// The name is part of the address that readers see, so the same content under another name is another upload.
	name := FileName(nameOf(m), mediaType)
	key := "content " + c.digest + " " + mediaType + " " + name
	done, ok := u.done.get(key)
	if !ok {
		address, err := u.send(ctx, from, s, c, name, mediaType)
		if err != nil {
			return uploaded{}, err
		}
		done = uploaded{url: address, digest: c.digest, mediaType: mediaType, size: c.size}
		u.done.put(key, done)
	}
	if len(m.Data) == 0 {
		u.done.put(source, done)
	}
	return done, nil
}

// before gives the upload of a foreign file that was uploaded a short time ago.
func (u *Uploader) before(source string, m sdk.Media) (uploaded, bool) {
	if len(m.Data) > 0 {
		return uploaded{}, false
	}
	return u.done.get(source)
}

// nameOf is the file name that m has, or that its address ends in.
func nameOf(m sdk.Media) string {
	if m.Name != "" {
		return m.Name
	}
	u, err := slotURL(m.URL)
	if err != nil {
		return ""
	}
	return u.Path[strings.LastIndexByte(u.Path, '/')+1:]
}

// content gets hold of what is to be uploaded. The size that the origin told
// saves the reading of what is too large anyway.
func (u *Uploader) content(ctx context.Context, m sdk.Media, limit int64) (*content, string, error) {
	mediaType := MediaType(m.Type)
	switch {
	case int64(len(m.Data)) > limit, m.Size > limit:
		return nil, "", sdk.Errorf(sdk.TooLarge, op, "%d bytes, at most %d: %w", max(m.Size, int64(len(m.Data))), limit, errTooLarge)
	case len(m.Data) > 0:
		return contentOf(m.Data), mediaType, nil
	case m.URL == "" || u.o.Fetcher == nil:
		return nil, "", sdk.Errorf(sdk.Invalid, op, "media has neither content nor an address that may be read")
	}
	body, served, err := u.o.Fetcher.Fetch(ctx, m.URL, limit)
	if err != nil {
		return nil, "", err
	}
	c, err := spool(body, limit, u.o.Dir)
	err = errors.Join(err, body.Close())
	switch {
	case errors.Is(err, errTooLarge):
		return nil, "", &sdk.Error{Op: op, Kind: sdk.TooLarge, Err: err}
	case err != nil:
		return nil, "", &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}
	case c.size == 0:
		return nil, "", sdk.Errorf(sdk.Invalid, op, "the file is empty")
	}
	if mediaType == octets {
		mediaType = served
	}
	return c, mediaType, nil
}
