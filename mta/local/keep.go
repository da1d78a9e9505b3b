package local

import (
	"context"
	"io"
	"os"

	"signpost/spool"
)

// Keep writes content (CRLF line ends) into the Maildir dir, an absolute path that ends in "/", with the rights of this
// process. Above it stands Return-Path with sender, and no Delivered-To: it went to nobody. host is for the file's
// name. The last folder of dir is made where it is missing. Every failure is temporary.
func Keep(ctx context.Context, dir, host, sender string, content io.Reader) spool.Result {
	j := keeper(dir)
	j.Host, j.Sender = host, sender
	return j.run(ctx, content)
}

// MakeMaildir makes the Maildir that Keep will write to, or says why that will not work.
func MakeMaildir(dir string) error {
	j := keeper(dir)
	root, err := j.openMaildir()
	if err != nil {
		return j.failure(err)
	}
	return root.Close()
}

func keeper(dir string) *job {
	self := User{Name: "the account of the daemon", UID: os.Geteuid(), GID: os.Getegid()}
	return &job{Kind: spool.Mailbox, User: self, GID: self.GID, Path: dir, Key: "[delivery] catch", Timeout: defaultPipeTimeout, Owner: -1}
}
