package intake

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher tells of names that appear in a folder.
type watcher struct {
	// names are the new ones; nil says that some were missed. It is closed when there will be no more.
	names <-chan []string

	f    *os.File
	stop chan struct{}
	done sync.WaitGroup
}

// watchDir watches dir until close.
func watchDir(dir string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	// Non-blocking, so that the runtime polls it and no thread is spent.
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_CREATE|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	names := make(chan []string)
	w := &watcher{names: names, f: f, stop: make(chan struct{})}
	w.done.Go(func() { w.read(names) })
	return w, nil
}

func (w *watcher) close() {
	close(w.stop)
	w.f.Close()
	w.done.Wait()
}

// read passes events on. While nobody takes them, the kernel keeps the next ones, and says when it lost some.
func (w *watcher) read(names chan<- []string) {
	defer close(names)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.f.Read(buf)
		if err != nil {
			return
		}
		list, ok := parseEvents(buf[:n])
		select {
		case names <- list:
		case <-w.stop:
			return
		}
		if !ok {
			return
		}
	}
}

// parseEvents reads inotify events (inotify(7)). list is nil where events were lost; ok is false where no more will
// come.
func parseEvents(b []byte) (list []string, ok bool) {
	list, ok = []string{}, true
	lost := false
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			return nil, false
		}
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		b = b[end:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			lost = true
		case mask&(unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
			ok = false
		case mask&unix.IN_ISDIR == 0 && len(name) > 0:
			list = append(list, string(name))
		}
	}
	switch {
	case len(b) > 0:
		return nil, false
	case lost:
		return nil, ok
	}
	return list, ok
}
