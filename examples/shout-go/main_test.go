package main

import "testing"

func TestShout(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"Hello, world 1":  "HELLO, WORLD 1",
		"grüße aus århus": "GRÜßE AUS ÅRHUS",
		"6÷2 ÿ привет 🙂":  "6÷2 ÿ привет 🙂",
	} {
		if got := shout(in); got != want {
			t.Errorf("shout(%q) = %q, want %q", in, got, want)
		}
	}
}
