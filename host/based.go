package host

import (
	"context"
	"errors"

	"bridgehost/host/config"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// based gives an instance whose links get absolute paths for the files that the
// operator names in their config tables, since a plugin's process has another
// working folder than the configuration file.
func based(inst supervise.Instance, base string) supervise.Instance {
	b := basedInstance{inst, base}
	if p, ok := inst.(pinger); ok { // the supervisor asks for it
		return struct {
			basedInstance
			pinger
		}{b, p}
	}
	return b
}

// pinger is an instance that can be asked whether it still answers.
type pinger interface {
	Ping(ctx context.Context) error
}

type basedInstance struct {
	supervise.Instance
	base string
}

// Plugin implements supervise.Instance.
func (b basedInstance) Plugin() sdk.Plugin { return basedPlugin{b.Instance.Plugin(), b.base} }

type basedPlugin struct {
	sdk.Plugin
	base string
}

// Open implements sdk.Plugin. Files that are not there are reported together with
// what the plugin says of its table.
func (b basedPlugin) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	table, missing, err := config.ResolveFiles(b.Describe().Schema, cfg.JSON, b.base)
	if err != nil {
		return nil, &sdk.Error{Op: "open link " + string(cfg.Link), Kind: sdk.Invalid, Err: err}
	}
	cfg.JSON = table
	link, err := b.Plugin.Open(cfg, h)
	if len(missing) == 0 {
		return link, err
	}
	var said *sdk.ConfigError
	errors.As(err, &said) // another error is mostly that the file cannot be read
	return nil, config.WithFaults(missing, said)
}
