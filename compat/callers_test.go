package compat_test

import (
	"slices"
	"strings"
	"testing"

	"signpost/compat/callers"
)

// asCalled is what must come of each recorded call, made by ann with mail to bob@example.com.
var asCalled = []vector{
	{id: "cron", rcpts: args(ann), has: args("From: root@"+host+" (Cron Daemon)", "To: "+ann, "X-Cron-Env: <LOGNAME=ann>"),
		body: body("12 files größer than before\n.\n3 errors\n")},
	{id: "cronie", rcpts: args(ann), has: args(`From: "(Cron Daemon)" <`+ann+">", "To: "+ann), body: body("12 files backed up\n.\n")},
	{id: "at", rcpts: args(ann), has: args(`From: "Ann O. Nym" <`+ann+">", "Subject: Output from your job        1")},
	{id: "anacron", rcpts: args("root@" + host), has: args("From: Anacron <root@" + host + ">")},

	{id: "php", rcpts: args(b, c, d), has: args("Subject: Grüße from PHP", "Cc: "+c), hasNot: args(d), body: body("Thank you.\nSee you.\n")},
	{id: "php7", sender: "bounce@example.org", rcpts: args(b), has: args("X-Mailer: PHP/7.4", "From: Web <web@"+host+">"), body: body("Thank you.\n")},
	{id: "wordpress", rcpts: args(b), has: args("Message-ID: <wGz3k1T5zQ9c@example.org>")},
	{id: "phpmailer", sender: "bounce@example.org", rcpts: args(b), has: args("To: Bob <" + b + ">")},
	{id: "drupal", sender: "site@example.org", rcpts: args(b), has: args("Sender: site@example.org"), hasNot: args("Return-Path")},
	{id: "roundcube", sender: "ann@example.org", rcpts: args(b), has: args("Content-Type: text/plain; charset=US-ASCII;\n format=flowed")},
	{id: "symfony", sender: "shop@example.org", rcpts: args(b), stdout: "*", has: args("From: Shop <shop@example.org>"),
		body: body("It is on its way.\n.and no dot ends it\n")},
	{id: "symfony-t", sender: "shop@example.org", rcpts: args(b, c), body: body("It is on its way.\n..this dot was doubled\n")},

	{id: "bsd-mailx", rcpts: args(b, c, d), has: args(`From: "Ann O. Nym" <` + ann + ">"), hasNot: args(d)},
	{id: "s-nail", rcpts: args(b, d), has: args("Message-ID: <20261123180045.xyzzy%" + ann + ">")},
	{id: "mailutils", rcpts: args(b), has: args("Subject: Grüße", `From: "Ann O. Nym" <`+ann+">")},
	{id: "mutt", sender: "ann@example.org", rcpts: args(b, c), body: body("schöne Grüße\n.\n")},
	{id: "neomutt", rcpts: args(b), has: args("From: " + ann)},
	{id: "alpine", rcpts: args(b), stdout: "*", has: args("Message-ID: <a1b2c3d4@" + host + ">"), body: body("hi\n")},
	{id: "emacs", sender: "ann@example.org", rcpts: args(b, d), hasNot: args(d)},
	{id: "emacs-mail", rcpts: args(b), has: args("From: " + ann)},
	{id: "emacs-resend", sender: "ann@example.org", rcpts: args(b), has: args("To: ann@example.org", "Resent-To: "+b, "Message-ID: <old@example.net>")},

	{id: "git", sender: "ann@example.org", rcpts: args(b, c), has: args("Subject: [PATCH] queue: one lock less")},
	{id: "mime-lite", sender: "ann@example.org", rcpts: args(b, d), hasNot: args(d), body: body("all is well\n")},
	{id: "email-sender", sender: "ann@example.org", rcpts: args(b, c)},
	{id: "mail-mailer", rcpts: args(b), has: args("From: ann@example.org")},
	{id: "ruby", sender: "ann@example.org", rcpts: args(b)},
	{id: "nodemailer", sender: "ann@example.org", rcpts: args(b, d), hasNot: args(d), body: body("all is well\n")},
	{id: "python", rcpts: args(b), body: body("sch=C3=B6ne Gr=C3=BC=C3=9Fe\n")},

	{id: "unattended-upgrades", rcpts: args("root@" + host), has: args("From: root@"+host, "To: root@"+host)},
	{id: "apticron", rcpts: args("root@" + host), has: args("To: root@" + host)},
	{id: "reportbug", sender: "ann@example.org", rcpts: args(b), has: args("To: Bug Reports <" + b + ">")},
	{id: "logwatch", rcpts: args("root@" + host), has: args("From: Logwatch@" + host),
		body: body(" ################### Logwatch 7.7 ####################\n 3 × sshd: größer\n")},
	{id: "mdadm", rcpts: args("root@" + host), has: args("From: mdadm monitoring <root@" + host + ">")},
	{id: "smartd", rcpts: args("root@" + host), has: args("To: root@" + host)},
	{id: "sudo", rcpts: args("root@" + host), has: args("From: "+ann, "Auto-Submitted: auto-generated")},
	{id: "fail2ban", sender: "fail2ban@" + host, rcpts: args("root@" + host), has: args("From: Fail2Ban <fail2ban@"+host+">", "To: root@"+host)},

	{id: "majordomo", sender: "owner-news@example.org", rcpts: args(b, c, d), has: args("To: news@example.org")},
	{id: "mailman", sender: "news-bounces@example.org", rcpts: args(b, c, d), has: args("Errors-To: news-bounces@example.org")},
}

func TestCallers(t *testing.T) {
	for _, v := range asCalled {
		t.Run(v.id, func(t *testing.T) {
			call, ok := callers.Find(v.id)
			if !ok {
				t.Fatal("no such call is recorded")
			}
			call = call.Fill("ann", host, b)
			v.arg0, v.args, v.stdin, v.env = call.Program, call.Args, call.Stdin, map[string]string{}
			for _, e := range call.Env {
				name, value, _ := strings.Cut(e, "=")
				v.env[name] = value
			}
			v.check(t)
			w := newWorld(t)
			w.env, w.arg0 = v.env, v.arg0
			checkExplained(t, w, v.stdin, v.args, w.run(v.stdin, v.args...))
		})
	}
}

// TestEveryCallerIsTested holds that each call has a name of its own, and an expectation.
func TestEveryCallerIsTested(t *testing.T) {
	var recorded, expected []string
	for _, c := range callers.All() {
		recorded = append(recorded, c.Name)
		if c.About == "" || !strings.HasSuffix(c.Program, "/sendmail") || len(c.Env) == 0 {
			t.Errorf("%+v", c)
		}
	}
	for _, v := range asCalled {
		expected = append(expected, v.id)
	}
	slices.Sort(recorded)
	slices.Sort(expected)
	if !slices.Equal(recorded, expected) || len(slices.Compact(recorded)) != len(expected) {
		t.Errorf("recorded\n%q\nexpected\n%q", recorded, expected)
	}
}
