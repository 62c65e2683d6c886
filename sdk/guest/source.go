//go:build !wasip1

package guest

import "embed"

// Source is the source of this package with its tool pack, which
// bridgehost plugin new copies into the folder of a new module, so that the
// module builds with Go alone.
//
//go:embed *.go section/section.go pack/main.go
var Source embed.FS
