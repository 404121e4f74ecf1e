package control

import "time"

// keySoon is how long before its end people are told of it, or a quarter of the key's life, if that is shorter.
const keySoon = 7 * 24 * time.Hour

// KeyNotice gives what people are to be told of an API key at a time, if there is anything: that it has expired, that
// it will soon, or else that nobody has used it for unusedFor, since it was made or last used. Another expiry and another
// last use are other episodes. workspace is the name of the key's workspace.
func KeyNotice(k APIKey, workspace string, now time.Time, unusedFor time.Duration) (Notice, bool) {
	n := Notice{Workspace: k.Workspace, At: now, Params: map[string]string{"workspace": workspace, "key": k.Name}}
	var since time.Time
	if soon := min(keySoon, k.ExpiresAt.Sub(k.CreatedAt)/4); !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt.Add(-soon)) {
		since, n.Kind = k.ExpiresAt, NoticeKeyExpiring
		if !now.Before(since) {
			n.Kind = NoticeKeyExpired
		}
		n.Params["at"] = since.UTC().Format(time.RFC3339)
	} else {
		if since = k.UsedAt; since.IsZero() {
			since = k.CreatedAt
		}
		if now.Sub(since) < unusedFor {
			return Notice{}, false
		}
		n.Kind = NoticeKeyUnused
		n.Params["since"] = since.UTC().Format(time.RFC3339)
	}
	n.Episode = string(k.ID) + " " + since.UTC().Format(time.RFC3339Nano)
	return n, true
}
