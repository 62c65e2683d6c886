// Package archtest holds the shape of the project as a test: which package may import which, and what every file looks like.
//
// It parses the sources itself. A test that asked a "go list" child would be answered from the test cache after a change,
// since the cache knows only the files that the test process opens.
//
// The rules are those of docs/architecture.md and docs/style.md; when a rule is wrong, change it here and there together.
package archtest
