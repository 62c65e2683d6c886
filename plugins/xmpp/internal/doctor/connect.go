package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/privilege"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// connection is a stream in the link's name for the length of the checks.
type connection struct {
	sess   *stream.Session
	from   string // our address; empty for a client
	jid    string
	grants *privilege.Entity
	events chan *packet.Message // of pubsub; full: dropped
	wait   time.Duration        // for one question
}

// Send implements privilege.Stream.
func (c *connection) Send(ctx context.Context, p packet.Stanza) error { return c.sess.Send(ctx, p) }

// IQ implements privilege.Stream and upload.IQer.
func (c *connection) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	ctx, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	return c.sess.IQ(ctx, iq)
}

// ask sends a request from our own address.
func (c *connection) ask(ctx context.Context, to, iqType string, payload xmltok.Element) (*packet.IQ, error) {
	return c.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: c.from, To: to, Type: iqType}, Payload: payload})
}

// connect makes one attempt. The returned function ends the connection and waits
// for its end; it is never nil.
func connect(ctx context.Context, o *Options) (*connection, func(), error) {
	c := &connection{events: make(chan *packet.Message, 16), wait: o.Timeout}
	so := o.Stream
	so.Log, so.Disco, so.NoResume = o.Log, c.disco, true
	if o.component() {
		c.from = so.Domain
	} else {
		so.Resource = "" // the link's own would end the link's stream
	}
	first := make(chan error, 1)
	var once sync.Once
	so.OnState = func(st stream.State) {
		switch {
		case st.Phase == stream.Up:
			once.Do(func() {
				c.jid = st.JID
				first <- nil
			})
		case st.Phase == stream.Down && st.Err != nil:
			once.Do(func() { first <- st.Err })
		}
	}
	sess, err := stream.New(so)
	if err != nil {
		return nil, func() {}, err
	}
	c.sess = sess
	c.grants = privilege.New(c, privilege.Options{Component: so.Domain, Servers: []string{o.Server}})
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// How it ended was told by OnState.
		_ = sess.Run(runCtx, stream.Handler{Message: c.message})
	}()
	end := func() {
		cancel()
		<-done
	}
	select {
	case err = <-first:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return c, end, err
}

// disco answers for our address, which is here for a moment only.
func (c *connection) disco(_ context.Context, _, _ string) (stream.Disco, bool) {
	return stream.Disco{
		Identities: []stream.Identity{{Category: "gateway", Type: "bridgehost", Name: "bridgehost doctor"}},
		Features:   []string{packet.NSDiscoInfo, packet.NSPing},
	}, true
}

// message takes what comes in. What people write to the bridge in this moment
// goes back to them, as it does while the bridge is down.
func (c *connection) message(ctx context.Context, m *packet.Message) {
	if c.grants.HandleMessage(m) {
		return
	}
	if _, ok := m.Extension(nsPubsub+"#event", "event"); ok {
		select {
		case c.events <- m:
		default:
		}
		return
	}
	if c.from == "" || m.Type == "error" || m.Type == "groupchat" || m.Type == "headline" || !m.HasBody() {
		return
	}
	// A bounce that cannot be sent is lost with the stream, and the report shows that.
	_ = c.sess.Send(ctx, &packet.Message{Attrs: packet.Attrs{
		From: m.To, To: m.From, ID: m.ID, Type: "error",
		Error: &packet.Error{Type: "wait", Condition: "recipient-unavailable", Text: "The bridge is being examined. Please send it again in a minute."},
	}})
}

// reach checks the port and connects. Without a connection the report tells why.
func reach(ctx context.Context, o *Options, r *Report) (*connection, func()) {
	nothing := func() {}
	if o.Stream.Address != "" {
		conn, err := dial(ctx, o, o.Stream.Address)
		if err != nil {
			r.add("port", o.Stream.Address, Fail, "cannot be reached: "+cause(err), portRemedies(o)...)
			return nil, nothing
		}
		_ = conn.Close() // nothing was sent
		r.add("port", o.Stream.Address, OK, "is open")
	}
	if o.Running != "" && o.Broken && o.component() {
		r.add("connection", "", Fail, fmt.Sprintf("bridgehost runs, but its link is %s; stop bridgehost for a full examination", o.Running))
		return nil, nothing
	}
	if o.Running != "" && o.component() {
		r.add("connection", "", Skip, fmt.Sprintf("bridgehost runs, and its link is %s; a second connection would take stanzas from it, so what needs one was not checked; "+
			"stop bridgehost for a full examination", o.Running))
		return nil, nothing
	}
	c, end, err := connect(ctx, o)
	if err == nil {
		r.add("secret", o.Stream.Domain, OK, "the server accepts the connection")
		return c, end
	}
	end()
	refused(o, r, err)
	return nil, nothing
}

// refused explains why the server does not take the connection.
func refused(o *Options, r *Report, err error) {
	var se *stream.Error
	condition := ""
	if errors.As(err, &se) {
		condition = se.Condition
	}
	var verify *x509.UnknownAuthorityError
	switch {
	case errors.Is(err, stream.ErrAuth) && o.component():
		r.add("secret", o.Stream.Domain, Fail, "the server knows another secret", secretRemedies(o)...)
	case errors.Is(err, stream.ErrAuth):
		r.add("secret", o.Stream.Domain, Fail, "the server refuses the password", clientRemedies(o)...)
	case condition == "conflict":
		r.add("conflict", o.Stream.Domain, Fail, "another program is connected in this name: another bridgehost, or one that is still stopping")
	case condition == "host-unknown":
		r.add("secret", o.Stream.Domain, Fail, "the server does not know this component", secretRemedies(o)...)
	case errors.Is(err, stream.ErrNoTLS):
		r.add("secret", o.Stream.Domain, Fail, "the connection would not be encrypted, and tls.plaintext does not allow that here",
			Remedy{Server: "bridgehost", Where: "[link." + o.Link + ".config]", Lines: []string{`tls.plaintext = "anywhere"`}, Remark: "Only inside a network that nobody else can listen to."})
	case errors.As(err, &verify):
		r.add("secret", o.Stream.Domain, Fail, "the server's certificate is not of a known authority: "+cause(err))
	default:
		r.add("secret", o.Stream.Domain, Fail, "no connection: "+cause(err), secretRemedies(o)...)
	}
}

// dial opens a TCP connection.
func dial(ctx context.Context, o *Options, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: o.Timeout}
	return d.DialContext(ctx, "tcp", address)
}

// cause is the last part of an error: what the operating system or the server said.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
