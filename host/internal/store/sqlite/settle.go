package sqlite

import (
	"bridgehost/host/internal/store"
)

// Settle implements outbox.Store.
func (db *DB) Settle(s *store.Settlement, done func(error)) {
	db.submit(always, &request{
		op: "store receipts", weight: 1 + spreadWeight(s) + len(s.Copies) + len(s.Outcomes) + len(s.Done)/8, done: done,
		run: func(w *writer) error { return w.settle(s) },
	})
}

// spreadWeight is the weight of what is delivered further.
func spreadWeight(s *store.Settlement) int {
	n := 0
	for _, e := range s.Spread {
		n += 1 + len(e.Deliveries)/2
	}
	return n
}

const copySQL = `INSERT INTO mapping (link, remote, item, place, own, rule, made, rank) VALUES (?, ?, ?, ?, 1, ?, ?, ?)
 ON CONFLICT (link, remote) DO UPDATE SET made = excluded.made, rank = excluded.rank WHERE mapping.own = 1`

func (w *writer) settle(s *store.Settlement) error {
	now := millis(w.db.opts.Now())
	for i := range s.Copies {
		c := &s.Copies[i]
		link, err := w.link(c.Place.Link)
		if err != nil {
			return err
		}
		// A name that is an origin's stays the origin's: a link cannot take an
		// item over by calling it a copy.
		if _, err := w.c.exec(copySQL, link, string(c.Remote), c.Item, string(c.Place.ID), string(c.Rule), now, int64(i)); err != nil {
			return err
		}
	}
	if err := w.settleRest(s, now); err != nil {
		return err
	}
	for _, e := range s.Spread {
		if err := w.entry(e); err != nil {
			return err
		}
	}
	if err := w.over(s); err != nil {
		return err
	}
	if err := w.tell(s.Outcomes); err != nil {
		return err
	}
	if !s.SetRetry {
		return nil
	}
	_, err := w.c.exec("UPDATE lane SET fails = ?, due = ?, uncertain = ? WHERE id = ?", s.Fails, millis(s.Due), s.Uncertain, s.Lane)
	return err
}

// settleRest writes what most receipts do not have.
func (w *writer) settleRest(s *store.Settlement, now int64) error {
	for _, p := range s.Puppets {
		link, err := w.link(p.Puppet.Link)
		if err != nil {
			return err
		}
		if _, err := w.c.exec("INSERT INTO puppet (link, remote, actor) VALUES (?, ?, ?) ON CONFLICT (link, remote) DO UPDATE SET actor = excluded.actor",
			link, string(p.Puppet.ID), p.Actor); err != nil {
			return err
		}
		w.db.seen.add(p.Puppet)
	}
	for _, l := range s.Losses {
		if _, err := w.c.exec("INSERT INTO loss (event, lane, rule, text) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text",
			l.Event, s.Lane, string(l.Rule), l.Text); err != nil {
			return err
		}
	}
	for _, d := range s.Dead {
		if _, err := w.c.exec(`INSERT INTO dead (lane, seq, rule, created, died, attempts, kind, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT DO NOTHING`, s.Lane, d.Seq, string(d.Rule), millis(d.Created), now, d.Attempts, int64(d.Kind), d.Reason); err != nil {
			return err
		}
	}
	return nil
}

// over deletes deliveries that are done with.
func (w *writer) over(s *store.Settlement) error {
	if s.Upto != 0 {
		_, err := w.c.exec("DELETE FROM delivery WHERE lane = ? AND seq >= ? AND seq <= ?", s.Lane, s.First, s.Upto)
		return err
	}
	for _, seq := range s.Done {
		if _, err := w.c.exec("DELETE FROM delivery WHERE lane = ? AND seq = ?", s.Lane, seq); err != nil {
			return err
		}
	}
	return nil
}
