package convert

import (
	"testing"

	"bridgehost/sdk"
)

// BenchmarkRoom reads a message of a room and writes it for another one.
func BenchmarkRoom(b *testing.B) {
	m := decode(b, []byte("<message from='ops@muc.example.org/Juliet' to='hooks.grafana@bridge.example.org/bridgehost' type='groupchat' id='m1' xml:lang='en'><body>what light through yonder window breaks</body><stanza-id xmlns='urn:xmpp:sid:0' by='ops@muc.example.org' id='s1'/></message>"))
	env := Envelope{Prefix: MessagePrefix("groupchat", "p@bridge.example.org/b", "dev@muc.example.net"), ID: "bh001122-1"}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			FromGroupchat(m, ops, now)
		}
	})
	it := sdk.Item{Text: sdk.NewText(m.Body()), Language: "en"}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = AppendMessage(buf[:0], env, Compose(&it, Style{}))
		}
	})
	styled := FromChat(decode(b, []byte("<message from='a@b.example' type='chat' id='1'><body>&gt; q\nwhat *light* through `yonder` window _breaks_</body></message>")), now).Item
	b.Run("write styled", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = AppendMessage(buf[:0], env, Compose(&styled, Style{}))
		}
	})
}
