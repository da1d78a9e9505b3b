package stage

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"EHLO x", "EHLO x", true},
		{"EHLO x", "EHLO xy", false},
		{"EHLO *", "EHLO ", true},
		{"*", "", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c", false},
		{"ab*b", "ab", false},
	} {
		if got := glob(tt.pattern, tt.text); got != tt.want {
			t.Errorf("glob(%q, %q) = %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

// The client reads the same, wherever what the server says is cut.
func TestActorCutsAnywhere(t *testing.T) {
	script := Script{
		Send("220 mx.test\r\n"), Expect("EHLO *"), Send("250-mx.test\r\n250 SIZE\r\n"),
		Expect("DATA"), Send("354 go\r\n"), ExpectContent("a\r\n..\r\n"), Send("250 ok\r\n"), ExpectEnd(),
	}
	for cut := range script.Octets() {
		a := &Actor{Scripts: []Script{script}, Cut: cut}
		c, err := a.Dial(t.Context(), "tcp", "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "EHLO x\r\nDATA\r\na\r\n..\r\n.\r\n")
		first := make([]byte, 64)
		n, _ := c.Read(first)
		if want := "220 mx.test\r\n"; cut > 0 && cut < len(want) && string(first[:n]) != want[:cut] {
			t.Errorf("cut at %d: first read gives %q", cut, first[:n])
		}
		r, got := bufio.NewReader(c), string(first[:n])
		for strings.Count(got, "\n") < 5 {
			line, err := r.ReadString('\n')
			if got += line; err != nil {
				t.Fatal(got, err)
			}
		}
		c.Close()
		if err := a.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestActorReportsWhatIsNotAsScripted(t *testing.T) {
	a := &Actor{Scripts: []Script{{Send("220 x\r\n"), Expect("EHLO *")}, {Silence()}}}
	c, err := a.Dial(t.Context(), "tcp", "x")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "HELO x\r\n")
	err = a.Wait()
	if err == nil || !strings.Contains(err.Error(), `connection 1: step 2, expect EHLO *: got "HELO x\r\n"`) ||
		!strings.Contains(err.Error(), "1 of 2 scripts were not played") {
		t.Errorf("got %v", err)
	}
}
