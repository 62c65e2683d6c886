package convert

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// event writes what Mobilizon, Gancio and FEP-8a8e read of an appointment.
func (w *writer) event(c *sdk.CalendarEvent) {
	if !w.o.Is("Event") {
		w.loss.add(sdk.LossCalendar, "a "+w.o.Type()+" has no time")
		return
	}
	o := w.o
	name := short(c.Name, maxShort)
	for _, s := range []string{w.it.Title, "Event"} {
		if name == "" {
			name = short(s, maxShort)
		}
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "" || c.Zone == "Local" {
		zone = time.UTC
	}
	o.Set("name", name).Set("actor", w.n.Actor).Set("startTime", c.Start.In(zone).Format(time.RFC3339Nano))
	if !c.End.IsZero() {
		o.Set("endTime", c.End.In(zone).Format(time.RFC3339Nano))
	}
	o.Set("timezone", zone.String()).Set("joinMode", "free").Set("mediaType", "text/html")
	word := map[string]string{"tentative": "TENTATIVE", "cancelled": "CANCELLED"}[c.Status]
	full := map[string]string{"TENTATIVE": "Tentative", "CANCELLED": "EventCancelled"}[word]
	if word == "" {
		word, full = "CONFIRMED", "EventScheduled"
	}
	o.Set("status", word).Set("ical:status", word).Set("eventStatus", full)
	o.Set("maximumAttendeeCapacity", max(0, c.MaxAttend)).Set("uuid", c.UID)
	if c.OnlineURL != "" && object.Origin(c.OnlineURL) != "" {
		o.Set("isOnline", c.Location == "").Set("externalParticipationUrl", c.OnlineURL)
	}
	if len(c.Categories) > 0 {
		o.Set("category", strings.ToUpper(strings.ReplaceAll(short(c.Categories[0], 256), " ", "_")))
	}
	w.place(c)
	if w.it.Warning == "" {
		o.Set("summary", escapeInline(inWords(c, zone)))
	}
	if c.Recurrence != "" {
		w.loss.add(sdk.LossCalendar, "only the first of a series")
	}
}

// place writes the one Place that Mobilizon reads, with coordinates as floats, or a VirtualLocation.
func (w *writer) place(c *sdk.CalendarEvent) {
	if c.Location == "" && c.Latitude == "" {
		if object.Origin(c.OnlineURL) != "" {
			w.o.Set("location", object.New("VirtualLocation").Set("url", c.OnlineURL).Set("name", c.OnlineURL))
		}
		return
	}
	name := short(c.Location, maxShort)
	if name == "" {
		name = c.Latitude + ", " + c.Longitude
	}
	p := object.New("Place").Set("name", name).Set("address", name)
	lat, ok1 := float(c.Latitude)
	lon, ok2 := float(c.Longitude)
	if ok1 && ok2 {
		p.Set("latitude", lat).Set("longitude", lon)
	}
	w.o.Set("location", p)
}

// float spells a decimal number so that it is a float everywhere: 44 as 44.0.
func float(s string) (json.Number, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < -180 || f > 180 || !json.Valid([]byte(s)) {
		return "", false
	}
	if !strings.ContainsAny(s, ".eE") {
		s += ".0"
	}
	return json.Number(s), true
}

// inWords gives date and place for servers that show no events.
func inWords(c *sdk.CalendarEvent, zone *time.Location) string {
	format := "2 January 2006, 15:04 MST"
	if c.AllDay {
		format = "2 January 2006"
	}
	s := c.Start.In(zone).Format(format)
	if c.Location != "" {
		s += " – " + short(c.Location, maxShort)
	}
	return s
}
