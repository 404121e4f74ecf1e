package delivery

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// recoverTrimmed starts a lane whose saved position lies below the log's start, because the database was restored
// from an older copy: what the bucket holds is taken into the ledger, the rest below start is lost and said so.
// Nothing is skipped in silence.
func (l *lane) recoverTrimmed(ctx context.Context, start eventlog.Offset) error {
	if l.store == nil {
		return fault.Wrap(l.openErr, "recover position, which lies below the log's start: open the bucket")
	}
	// The rules in force at start are those of the newest record below it: going on by older ones could let out in clear
	// what is to be hidden.
	now, err := l.configAt(ctx, start)
	if err != nil {
		return fault.Wrap(err, "recover position")
	}
	d := now.Destination
	found, err := l.links(ctx, avrofile.ConnectorPrefix(d.Folder, d.Cluster, string(l.row.Lane.Connector)))
	if err != nil {
		return fault.Wrap(err, "recover position")
	}
	s := control.Save{Position: l.pos}
	s.Position.Links = map[control.Stream]eventlog.Offset{}
	for k, last := range l.pos.Links {
		if last >= start {
			s.Position.Links[k] = last
		}
	}
	for _, w := range found {
		if w.meta.Log != l.pos.Log.String() || eventlog.Offset(w.meta.Last) < l.pos.Cursor {
			continue
		}
		if now, err = l.rulesOf(ctx, w, max(start, eventlog.Offset(w.meta.First)), now); err != nil {
			return err
		}
		if eventlog.Offset(w.meta.First) >= start {
			continue // the log has it: it is met, and compared, on the way
		}
		k := control.Stream{Schema: w.name.SchemaID, Hour: eventlog.Hour(w.name.Hour), Target: w.meta.Target}
		s.Files = append(s.Files, l.adopted(k, w.name.EventType, w))
		if last := eventlog.Offset(w.meta.Last); last >= start {
			s.Position.Links[k] = max(s.Position.Links[k], last)
		}
	}
	// The chains tell what was delivered, not how many events came after their last links: that count is gone with
	// the log.
	s.Drops = []control.Drop{l.unknown(start, control.DropTrimmed)}
	s.Position.Cursor, s.Position.Version = start, now.Version
	seq, err := l.m.deps.Store.Save(ctx, s)
	if err != nil {
		if fault.Is(err, fault.Stale) {
			return errReload
		}
		return fault.Wrap(err, "recover position")
	}
	l.log.Warn("the saved position lies below the log's start; what the bucket does not hold is lost", "from", l.pos.Cursor, "to", start, "found", len(s.Files))
	l.pos = s.Position
	l.pos.Seq = seq
	l.hist, err = newHistory(l.row, l.m.deps.Catalogue, l.log, start, now, l.pos.Until)
	return err
}

func (l *lane) configAt(ctx context.Context, below eventlog.Offset) (control.Config, error) {
	return l.m.deps.Store.ConfigAt(ctx, l.row.Lane.Connector, l.row.Lane.Destination, l.pos.Log, below)
}

// rulesOf gives the rules to go on by after a link that begins at first was found: now, or newer ones if the record of the
// link's own rules is gone with the log and they were set again since.
func (l *lane) rulesOf(ctx context.Context, w link, first eventlog.Offset, now control.Config) (control.Config, error) {
	if w.meta.Version <= now.Version {
		return now, nil
	}
	known, err := l.configAt(ctx, first)
	if err != nil {
		return now, fault.Wrap(err, "recover position")
	}
	if w.meta.Version <= known.Version {
		return now, nil // the log still holds the record: it is met on the way
	}
	newest, err := l.configAt(ctx, math.MaxInt64)
	if err != nil {
		return now, fault.Wrap(err, "recover position")
	}
	if w.meta.Version >= newest.Version {
		return now, fault.New(fault.Conflict, "recover position", "%s was written by version %d of the connector, and this database knows version %d only", w.info.Key, w.meta.Version, newest.Version).
			WithHint("the database was restored from an older copy and the log no longer holds the newer rules: set them again until the version is above that of the file")
	}
	return newest, nil
}

// unknown is the loss of what lies below end, as far as the bucket does not hold it: nobody can count it.
func (l *lane) unknown(end eventlog.Offset, why control.DropReason) control.Drop {
	return control.Drop{
		Lane: l.row.Lane, Log: l.pos.Log, First: l.pos.Cursor, Last: end - 1, Events: -1, Reason: why, At: l.now, Settled: true,
	}
}

// overdue does what is due by the clock for a lane that cannot begin a round, because its position lies below the log's
// start and the bucket does not let it look. Its loss is told in time, but nothing is dropped: the files in the bucket may
// tell of rules that this database does not know. Only a deleted connector's lane, which writes nothing more, gives up.
func (l *lane) overdue(ctx context.Context) error {
	if l.counting {
		l.refusedAt = l.now
	}
	if err := l.watch(ctx); err != nil {
		return err
	}
	start, _ := l.m.deps.Log.Bounds()
	if l.order == nil || l.order.reason != control.DropDeleted || l.pos.Cursor >= start {
		return nil
	}
	s := control.Save{Position: l.pos, Drops: []control.Drop{l.unknown(l.order.floor, l.order.reason)}}
	s.Position.Cursor, s.Position.Links, s.Position.Plans = max(l.order.floor, start), nil, nil
	_, err := l.m.deps.Store.Save(ctx, s)
	return err
}
