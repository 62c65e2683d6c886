package activitypub

import (
	"context"
	"net/http"
	"strings"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

const (
	pathFinger   = "/.well-known/webfinger"
	pathHostMeta = "/.well-known/host-meta"
	pathNodeInfo = "/.well-known/nodeinfo"
)

// WebRoutes implements web.Handler.
func (l *link) WebRoutes() []web.Route {
	get := []string{http.MethodGet, http.MethodHead}
	rate := l.config.Rate
	return []web.Route{
		{Prefix: pathFinger, Methods: get, MaxBody: 1, PerMinute: rate},
		{Prefix: pathHostMeta, Methods: get, MaxBody: 1, PerMinute: rate},
		{Prefix: pathNodeInfo, Methods: get, MaxBody: 1, PerMinute: rate},
		{Prefix: l.config.Path, Methods: append(get, http.MethodPost), MaxBody: maxBody, PerMinute: rate},
	}
}

// ServeWeb implements web.Handler.
func (l *link) ServeWeb(ctx context.Context, r *web.Request) (*web.Response, error) {
	switch r.Prefix {
	case pathFinger:
		return l.server.WebFinger(ctx, r), nil
	case pathHostMeta:
		return l.server.HostMeta(), nil
	case pathNodeInfo:
		return l.server.NodeInfo(r.Path), nil
	}
	if r.Method != http.MethodPost {
		return l.server.Get(ctx, r.Path, r), nil
	}
	ref, ok := l.site.Parse(l.site.Base + l.site.Path + "/" + strings.TrimPrefix(r.Path, "/"))
	switch {
	case !ok || ref.Part != actor.PartInbox && ref.Part != actor.PartSharedInbox:
		return actor.Refuse(http.StatusNotFound, "there is no inbox here", 0), nil
	case ref.Part == actor.PartInbox && ref.Name != actor.InstanceName:
		if _, err := l.people.ByName(ctx, ref.Name); err != nil && !sdk.KindOf(err).Temporary() {
			return actor.RefuseError(err), nil
		}
	}
	return l.inbox.Post(ctx, r), nil
}

// signer gives the actor that signed a GET.
func (l *link) signer(ctx context.Context, r *web.Request) (string, error) {
	v, err := l.transport.Verifier().Verify(ctx, sign.FromWeb(r))
	if err != nil {
		return "", err
	}
	if l.config.refused(v.Owner) {
		return "", sdk.Errorf(sdk.Forbidden, "read", "the server is blocked")
	}
	return v.Owner, nil
}
