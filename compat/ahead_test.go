package compat

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// gate is a reader that is not ready before it is told to.
type gate struct {
	strings.Builder
	open chan struct{}
	err  error
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	if g.err != nil {
		return 0, g.err
	}
	return g.Builder.Write(p)
}

func TestAheadOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		a := newAhead(g)
		want := strings.Repeat("x", 1<<20)
		for range 60 { // none of them waits
			if n, err := a.Write([]byte(want)); n != len(want) || err != nil {
				t.Fatal(n, err)
			}
		}
		full := make(chan struct{})
		go func() {
			defer close(full)
			for range 10 {
				a.Write([]byte(want))
			}
		}()
		synctest.Wait()
		select {
		case <-full:
			t.Error("more is kept than is allowed")
		default:
		}
		close(g.open)
		<-full
		if err := a.finish(); err != nil || g.Len() != 70<<20 {
			t.Errorf("%v, %d octets", err, g.Len())
		}
	})
}

func TestAheadOfAReaderThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{}), err: errors.New("gone")}
		a := newAhead(g)
		a.Write([]byte("x"))
		close(g.open)
		synctest.Wait()
		if _, err := a.Write([]byte("x")); err != g.err {
			t.Errorf("error %v", err)
		}
		if err := a.finish(); err != g.err {
			t.Errorf("at the end: %v", err)
		}
	})
}
