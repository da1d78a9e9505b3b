package main

import (
	"reflect"
	"testing"
)

func TestParseCaught(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       caughtMail
	}{
		{"two recipients", "Return-Path: <ann@example.org>\nX-Original-To: bob@example.com\nX-Original-To: c@example.com\nTo: x\n\nhi\n",
			caughtMail{"ann@example.org", []string{"bob@example.com", "c@example.com"}, "To: x\n", "hi\n"}},
		{"the null reverse-path, and a field of the message's own", "Return-Path: <>\nX-Original-To: b\nTo: x\nX-Original-To: y\n\n",
			caughtMail{"", []string{"b"}, "To: x\nX-Original-To: y\n", ""}},
		{"nothing", "", caughtMail{"", []string{}, "\n", ""}},
	} {
		if got := parseCaught(tt.text); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"-fx@y.z": "-fx@y.z", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "\x1b": `'\x1b'`} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
