package wire

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/internal/pluginpb/pluginrpc"
	"bridgehost/sdk/web"
)

// maxSessions bounds the streams of one connection.
const maxSessions = 64

// window is how many bytes one side may send before the other has read them.
const window = 4 * fullFrame

// DialOptions are the options for the host's connection.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxFrame), grpc.MaxCallSendMsgSize(MaxFrame)),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
	}
}

// ServerOptions are the options that a gRPC server needs to carry sessions.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newFrameCodec()),
		grpc.MaxRecvMsgSize(MaxFrame),
		grpc.MaxSendMsgSize(MaxFrame),
		grpc.MaxConcurrentStreams(maxSessions),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
	}
}

// Register offers plugin at a gRPC server, which must have been made with
// ServerOptions. Each session is one link.
func Register(server grpc.ServiceRegistrar, plugin sdk.Plugin) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: pluginrpc.PluginService_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Metadata:    pluginrpc.PluginService_ServiceDesc.Metadata,
		Streams: []grpc.StreamDesc{{
			StreamName: "Session", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, st grpc.ServerStream) error { return serveSession(plugin, st) },
		}},
	}, plugin)
}

// serveSession is the plugin's half of a session; it returns when the host ends
// the stream, after all that belongs to the link has ended.
func serveSession(plugin sdk.Plugin, st grpc.ServerStream) error {
	s := &pluginSide{plugin: plugin}
	s.peer = newPeer(st, s)
	return s.peer.run(st.Context(), func() {})
}

// pluginSide answers the host's calls.
type pluginSide struct {
	plugin sdk.Plugin
	peer   *peer

	mu      sync.Mutex
	link    sdk.Link // nil before Open
	facets  sdk.Facets
	web     web.Handler
	running bool
}

var _ handler = (*pluginSide)(nil)

// note ignores notes: the host sends none.
func (s *pluginSide) note(codec.Envelope) {}

func (s *pluginSide) answer(ctx context.Context, e codec.Envelope) codec.Body {
	switch e.Field {
	case codec.FieldPing:
		return &codec.Done{}
	case codec.FieldDescribe:
		return s.describe()
	case codec.FieldOpen:
		return s.open(e)
	}
	s.mu.Lock()
	link, f, h := s.link, s.facets, s.web
	s.mu.Unlock()
	if link == nil {
		return failure("", sdk.Errorf(sdk.Invalid, "", "no link is open"))
	}
	switch e.Field {
	case codec.FieldRun:
		return s.run(ctx, link)
	case codec.FieldDeliver:
		return deliver(ctx, e, f.Deliverer)
	case codec.FieldFilter:
		return filter(ctx, e, f.Filter)
	case codec.FieldServeWeb:
		return serveWeb(ctx, e, h)
	default:
		return otherFacet(ctx, e, f)
	}
}

func (s *pluginSide) describe() codec.Body {
	m := s.plugin.Describe()
	if m.ContractMax == 0 {
		m.ContractMin, m.ContractMax = sdk.ContractVersionMin, sdk.ContractVersion
	}
	return &codec.DescribeReply{Manifest: m}
}

func (s *pluginSide) open(e codec.Envelope) codec.Body {
	var b codec.Open
	if err := codec.Decode(e.Body, &b); err != nil {
		return broken(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		return failure("", sdk.Errorf(sdk.Invalid, "", "a session has one link"))
	}
	l, err := s.plugin.Open(b.Config, newRemoteHost(s.peer, b.LogLevel))
	if err != nil {
		return &codec.Failure{Err: err}
	}
	s.link, s.facets, s.web = l, sdk.FacetsOf(l), web.HandlerOf(l)
	reply := &codec.OpenReply{Facets: facetNames(s.facets, s.web)}
	if s.web != nil {
		reply.Routes = s.web.WebRoutes()
	}
	return reply
}

func (s *pluginSide) run(ctx context.Context, l sdk.Link) codec.Body {
	s.mu.Lock()
	again := s.running
	s.running = true
	s.mu.Unlock()
	if again {
		return failure("", sdk.Errorf(sdk.Invalid, "", "the link was run before"))
	}
	return done("run link", l.Run(ctx))
}

// lacks answers a call of a facet that was not declared.
func lacks(facet string) codec.Body {
	return failure("", sdk.Errorf(sdk.Unsupported, "", "the link is no %s", facet))
}

func deliver(ctx context.Context, e codec.Envelope, d sdk.Deliverer) codec.Body {
	if d == nil {
		return lacks("deliverer")
	}
	var b codec.Deliver
	if err := codec.Decode(e.Body, &b); err != nil {
		return broken(err)
	}
	receipts, err := d.Deliver(ctx, b.Deliveries)
	return &codec.DeliverReply{Receipts: receipts, Err: sdk.AsError("deliver", err)}
}

func filter(ctx context.Context, e codec.Envelope, f sdk.Filter) codec.Body {
	if f == nil {
		return lacks("filter")
	}
	var b codec.Filter
	if err := codec.Decode(e.Body, &b); err != nil {
		return broken(err)
	}
	verdicts, err := f.Filter(ctx, b.Events)
	if err != nil {
		return failure("filter", err)
	}
	return &codec.FilterReply{Verdicts: verdicts}
}

func serveWeb(ctx context.Context, e codec.Envelope, h web.Handler) codec.Body {
	if h == nil {
		return lacks("web handler")
	}
	var b codec.ServeWeb
	if err := codec.Decode(e.Body, &b); err != nil {
		return broken(err)
	}
	r, err := h.ServeWeb(ctx, &b.Request)
	if err != nil {
		return failure("serve web", err)
	}
	if r == nil {
		return failure("serve web", sdk.Errorf(sdk.Internal, "", "neither response nor error"))
	}
	return &codec.WebReply{Response: *r}
}

// otherFacet answers the calls of the facets that are asked rarely.
func otherFacet(ctx context.Context, e codec.Envelope, f sdk.Facets) codec.Body {
	switch e.Field {
	case codec.FieldSetPlaces:
		return callFacet(e, f.Placer, "placer", func(p sdk.Placer, b *codec.SetPlaces) codec.Body {
			return done("set places", p.SetPlaces(ctx, b.Places))
		})
	case codec.FieldInform:
		return callFacet(e, f.Informed, "informed", func(p sdk.Informed, b *codec.Inform) codec.Body {
			return done("inform", p.Inform(ctx, b.Outcomes))
		})
	case codec.FieldResolve:
		return callFacet(e, f.Resolver, "resolver", func(p sdk.Resolver, b *codec.Resolve) codec.Body {
			r, err := p.Resolve(ctx, b.Address)
			if err != nil {
				return failure("resolve", err)
			}
			return &codec.ResolveReply{Resolved: r}
		})
	case codec.FieldBackfill:
		return callFacet(e, f.Backfiller, "backfiller", func(p sdk.Backfiller, b *codec.Backfill) codec.Body {
			n, err := p.Backfill(ctx, b.Place, b.Since, b.Limit)
			if err != nil {
				return failure("backfill", err)
			}
			return &codec.BackfillReply{Count: n}
		})
	case codec.FieldCommand:
		return callFacet(e, f.Commander, "commander", func(p sdk.Commander, b *codec.Command) codec.Body {
			text, err := p.Command(ctx, b.Invocation)
			if err != nil {
				return failure("command", err)
			}
			return &codec.CommandReply{Text: text}
		})
	default:
		return unknownCall(e.Field)
	}
}

// callFacet reads a call and hands it to a facet, if the link has it.
func callFacet[F comparable, B any, P interface {
	*B
	codec.Body
}](e codec.Envelope, facet F, name string, ask func(F, *B) codec.Body) codec.Body {
	var none F
	if facet == none {
		return lacks(name)
	}
	var b B
	if err := codec.Decode(e.Body, P(&b)); err != nil {
		return broken(err)
	}
	return ask(facet, &b)
}
