package spool

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func fullRecipients() []Recipient {
	empty, owner := "", "owner\xff\n"
	return []Recipient{
		{Addr: "bob@example.org", Sender: &empty, Original: "bob", NoAlias: true, Notify: NotifyFailure | NotifyDelay},
		{
			Kind: Program, Addr: "cat", RunAs: "nobody", Sender: &owner, Source: "/etc/aliases", Forwarder: "ann", Notify: NotifyNever,
			Last: Result{Status{5, 1, 1}, "550 no\nsuch", "mx[::1]:25", "ours", "TLS1.3", moment}, Bounced: true,
		},
		{Last: Result{Status: Status{-1, 1 << 40, 0}}},
		{},
	}
}

var moment = time.Unix(1_800_000_000, 123_456_789)

func fullTold() Told {
	sender, name := "", "A \"B\"\r\n"
	return Told{
		Sender: &sender, Rcpts: fullRecipients(), FullName: &name, Name: "n", Login: "l", Ret: "FULL", EnvID: "e",
		Queued: true, Label: "label", Body: "8BITMIME", NULs: 3, PID: 77, Process: fullProcess("c\x00"),
	}
}

func fullProcess(s string) Process {
	return Process{Name: s, Parent: s, PID: 4711, Command: s, Dir: s, Unit: s, Container: s, Login: s, RealUser: s, Script: s}
}

func fullEntry() Entry {
	return Entry{ID: "01M8533K3JF2KWJRTM", Size: 1 << 50, Envelope: fullEnvelope(), Active: true, Hidden: true}
}

func fullEnvelope() Envelope {
	return Envelope{
		Sender: strings.Repeat("s", 300), Rcpts: fullRecipients(),
		Origin: Origin{Via: "drop", UID: -1, Login: "ann", Client: "c", Auth: "a", PID: 1 << 22,
			Seen: fullProcess("x"), Claims: fullProcess("y")},
		Arrived: moment, Ret: "HDRS", EnvID: "e", Parent: "01M8533K3JF2KWJRTM", Held: "h", Queued: true, Warned: true,
		Started: true, Next: time.Unix(-1<<40, 1), Tries: -5,
		Rewritten: []Rewriting{{"envelope", "a@x", "b@y", "a@*"}, {What: "From", Old: "\xff\n"}},
	}
}

// filled fails when a struct has a field without a value: then a new field was forgotten in these tests, and perhaps in
// the codec.
func filled(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
		for i := range v.NumField() {
			filled(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
		return
	}
	if v.IsZero() {
		t.Errorf("%s has no value in this test", path)
	}
}

func TestTheCodecKeepsEveryField(t *testing.T) {
	filled(t, reflect.ValueOf(fullTold()), "Told")
	filled(t, reflect.ValueOf(fullEntry()), "Entry")
	var rcpt Recipient // what any of the recipients has
	for _, r := range fullRecipients() {
		for i := range reflect.TypeOf(r).NumField() {
			if f := reflect.ValueOf(r).Field(i); !f.IsZero() {
				reflect.ValueOf(&rcpt).Elem().Field(i).Set(f)
			}
		}
	}
	rcpt.Last = fullRecipients()[1].Last
	filled(t, reflect.ValueOf(rcpt), "Recipient")

	told, err := DecodeTold(EncodeTold(fullTold()))
	if err != nil || !reflect.DeepEqual(told, fullTold()) {
		t.Errorf("told comes back as\n%+v, %v, want\n%+v", told, err, fullTold())
	}
	entry, err := DecodeEntry(EncodeEntry(fullEntry()))
	if err != nil || !reflect.DeepEqual(entry, fullEntry()) {
		t.Errorf("entry comes back as\n%+v, %v, want\n%+v", entry, err, fullEntry())
	}
	if told, err = DecodeTold(EncodeTold(Told{})); err != nil || !reflect.DeepEqual(told, Told{}) {
		t.Errorf("nothing told comes back as %+v, %v", told, err)
	}
}

func TestTheCodecKeepsTimes(t *testing.T) {
	for _, want := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(-1, 999_999_999), moment, time.Date(9999, 1, 2, 3, 4, 5, 6, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC),
	} {
		entry, err := DecodeEntry(EncodeEntry(Entry{Envelope: Envelope{Next: want}}))
		if got := entry.Envelope.Next; err != nil || !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%v comes back as %v, %v", want, got, err)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	e := encoder(EncodeTold(fullTold()))
	e.text(99, "from the future")
	e.nested(1<<40, fullTold().encode)
	told, err := DecodeTold(e)
	if err != nil || !reflect.DeepEqual(told, fullTold()) {
		t.Errorf("told is %+v, %v", told, err)
	}
	var env Envelope
	if err := env.apply(200, []byte{0xff}); err != nil || !reflect.DeepEqual(env, Envelope{}) {
		t.Errorf("an unknown record: %+v, %v", env, err)
	}
}

func TestBrokenFieldsAreErrors(t *testing.T) {
	whole := EncodeEntry(fullEntry())
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"a tag without length", []byte{1}},
		{"a length without value", []byte{1, 200}},
		{"an endless length", bytes.Repeat([]byte{0xff}, 20)},
		{"a length of 2^63", []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		{"an empty number", []byte{2, 0}},
		{"a number and more", []byte{2, 2, 1, 1}},
		{"an envelope cut short", whole[:len(whole)-20]},
		{"a kind that is no octet", nest(3, nest(2, []byte{2, 2, 0x80, 0x08}))},
		{"a status of one number", nest(3, nest(2, nest(9, nest(1, []byte{2}))))},
		{"a time without nanoseconds", nest(3, nest(4, []byte{2}))},
		{"a time of a milliard nanoseconds", nest(3, nest(4, []byte{2, 0x80, 0x94, 0xeb, 0xdc, 0x03}))},
	} {
		if _, err := DecodeEntry(tt.b); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func nest(tag uint64, b []byte) []byte {
	var e encoder
	e.present(tag, string(b))
	return e
}

func TestTooManyRecipientsAreAnError(t *testing.T) {
	many := bytes.Repeat([]byte{2, 0}, MaxRcpts)
	if told, err := DecodeTold(many); err != nil || len(told.Rcpts) != MaxRcpts {
		t.Errorf("%d recipients: %v", MaxRcpts, err)
	}
	if _, err := DecodeTold(append(many, 2, 0)); err == nil {
		t.Errorf("%d recipients: no error", MaxRcpts+1)
	}
}

func TestResultsThatAreEqualAreWrittenOnce(t *testing.T) {
	var results []RcptResult
	env := Envelope{Rcpts: make([]Recipient, 10_000)}
	for i := range env.Rcpts {
		reply := fmt.Sprintf("450 try again in %d minutes, %s", i%2, strings.Repeat("please ", 20))
		results = append(results, RcptResult{i, Result{Status: Status{4, 4, 1}, Reply: reply, At: moment}})
	}
	b := encodeAttempt(results, moment)
	if len(b) > 30_000 {
		t.Errorf("%d octets", len(b))
	}
	if err := env.apply(recAttempt, b); err != nil {
		t.Fatal(err)
	}
	for i, r := range env.Rcpts {
		if r.Last != results[i].Result {
			t.Fatalf("result of recipient %d is %+v", i, r.Last)
		}
	}
}

func FuzzDecodeTold(f *testing.F) {
	f.Add(EncodeTold(fullTold()))
	f.Add([]byte{2, 0, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		told, err := DecodeTold(b)
		if err != nil {
			return
		}
		again, err := DecodeTold(EncodeTold(told))
		if err != nil || !reflect.DeepEqual(again, told) {
			t.Errorf("%+v comes back as %+v, %v", told, again, err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(EncodeEntry(fullEntry()))
	f.Fuzz(func(t *testing.T, b []byte) {
		entry, err := DecodeEntry(b)
		if err != nil {
			return
		}
		again, err := DecodeEntry(EncodeEntry(entry))
		if err != nil || !reflect.DeepEqual(again, entry) {
			t.Errorf("%+v comes back as %+v, %v", entry, again, err)
		}
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	var e encoder
	fullEnvelope().encode(&e)
	f.Add([]byte(e))
	f.Fuzz(func(t *testing.T, b []byte) {
		env, err := decodeEnvelope(b)
		if err != nil {
			return
		}
		var e encoder
		env.encode(&e)
		again, err := decodeEnvelope(e)
		if err != nil || !reflect.DeepEqual(again, env) {
			t.Errorf("%+v comes back as %+v, %v", env, again, err)
		}
	})
}

// FuzzRecord applies any record to an envelope.
func FuzzRecord(f *testing.F) {
	f.Add(recAttempt, encodeAttempt([]RcptResult{{1, Result{Status: Status{2, 0, 0}, At: moment}}}, moment))
	f.Add(recBounced, nest(1, []byte{0, 1}))
	f.Add(recExpanded, nest(1, nest(1, []byte("bob"))))
	f.Add(recHold, nest(1, []byte("why")))
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		env, before := fullEnvelope(), fullEnvelope()
		if env.apply(kind, payload) != nil {
			return
		}
		summarize("", 0, &env)
		if env.Sender != before.Sender || env.Origin != before.Origin || !env.Arrived.Equal(before.Arrived) || env.Tries < before.Tries {
			t.Fatalf("record %d makes it another message: %+v", kind, env)
		}
		if kind != recExpanded {
			checkSameRecipients(t, env.Rcpts, before.Rcpts)
		}
		if entry, err := DecodeEntry(EncodeEntry(Entry{Envelope: env})); err != nil || !reflect.DeepEqual(entry.Envelope, env) {
			t.Fatalf("%+v comes back as %+v, %v", env, entry.Envelope, err)
		}
	})
}

// checkSameRecipients holds that what was recorded about recipients added none, took none away and renamed none.
func checkSameRecipients(t *testing.T, got, want []Recipient) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d recipients, want %d", len(got), len(want))
	}
	for i, r := range got {
		w := want[i]
		if r.Addr != w.Addr || r.Kind != w.Kind || r.Original != w.Original || r.Notify != w.Notify || w.Bounced && !r.Bounced {
			t.Fatalf("recipient %d became %+v, from %+v", i, r, w)
		}
	}
}
