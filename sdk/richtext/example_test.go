package richtext_test

import (
	"fmt"

	"bridgehost/sdk/richtext"
)

// A post of the fediverse as a message of XMPP and back to HTML.
func Example() {
	doc := richtext.ParseHTML(`<p>Tea at <b>four</b>, see <a href="https://tea.example/">the page</a></p><ul><li>cups</li><li>cake</li></ul>`, richtext.HTML{})
	message := richtext.PrintStyling(doc.Text)
	fmt.Println(message.Body)
	text, _ := richtext.ParseStyling("> *really*?")
	fmt.Println(richtext.PrintHTML(text, richtext.Print{}))
	fmt.Println(richtext.PrintMarkdown(doc.Text))
	// Output:
	// Tea at *four*, see the page (https://tea.example/)
	//
	// • cups
	// • cake
	// <blockquote><strong>really</strong>?</blockquote>
	// Tea at **four**, see [the page](<https://tea.example/>)
	//
	// - cups
	// - cake
}
