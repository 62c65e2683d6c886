// Command clock is a protocol plugin that runs as a process of its own: it
// publishes the time to its places at an interval, and appends what is delivered
// to a file. A real plugin speaks to a network instead; the shape is the same.
package main

import "bridgehost/sdk/wire"

func main() { wire.Serve(plugin{}) }
