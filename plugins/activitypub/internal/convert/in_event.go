package convert

import (
	"strings"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// event reads an Event of Mobilizon, Gancio, FEP-8a8e and their like.
func (in *reader) event() *sdk.CalendarEvent {
	o := in.o
	c := &sdk.CalendarEvent{UID: o.Text("uuid"), Start: o.Time("startTime"), End: o.Time("endTime"), URL: o.Page(),
		Zone: short(o.Text("timezone"), 64), MaxAttend: max(0, o.Int("maximumAttendeeCapacity"))}
	if c.UID = short(c.UID, 256); c.UID == "" {
		c.UID = o.ID()
	}
	name, _ := o.Name()
	c.Name = short(name, maxShort)
	c.Status = status(o)
	if cat := o.Text("category"); cat != "" {
		c.Categories = append(c.Categories, short(strings.ToLower(strings.ReplaceAll(cat, "_", " ")), 256))
	}
	c.Description = in.p.Item.Text
	for _, v := range o.Parts("location") {
		switch {
		case v.Is("VirtualLocation"):
			if u := v.Page(); u != "" && c.OnlineURL == "" {
				c.OnlineURL = u
			}
		case c.Location == "" && c.Latitude == "":
			c.Location = short(place(v), maxShort)
			c.Latitude, c.Longitude = v.Number("latitude"), v.Number("longitude")
		}
	}
	if c.OnlineURL == "" {
		if u := o.Text("externalParticipationUrl"); object.Origin(u) != "" {
			c.OnlineURL = u
		}
	}
	return c
}

// status reads status and its other spellings.
func status(o *object.Object) string {
	for _, k := range []string{"status", "ical:status", "eventStatus"} {
		s := strings.ToLower(o.Text(k))
		switch {
		case strings.HasSuffix(s, "cancelled") || strings.HasSuffix(s, "canceled"):
			return "cancelled"
		case strings.HasSuffix(s, "tentative") || strings.HasSuffix(s, "postponed"):
			return "tentative"
		case s != "":
			return "confirmed"
		}
	}
	return ""
}

// place gives the name and the address of a Place in one line.
func place(p *object.Object) string {
	name, _ := p.Name()
	parts := []string{}
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && s != strings.TrimSpace(name) {
			parts = append(parts, s)
		}
	}
	if name != "" {
		parts = append(parts, strings.TrimSpace(name))
	}
	if a := p.Part("address"); a != nil {
		for _, k := range []string{"streetAddress", "postalCode", "addressLocality", "addressRegion", "addressCountry"} {
			add(a.Text(k))
		}
	} else {
		add(p.Text("address"))
	}
	return strings.Join(parts, ", ")
}
