// Package supervise owns every link's life: it launches the plugin, opens the
// link, attaches its facets to those who use them, runs it, and starts it again
// with backoff when it ends, until it has crashed too often. A new set of links
// is applied by difference: what did not change is not touched.
package supervise
