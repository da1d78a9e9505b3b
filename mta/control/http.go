package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"signpost/mta/history"
	"signpost/spool"
)

// A request that acts names this many messages at most; who means more says so by All, Domain or Sender.
const maxAction = 4 << 20

// Serve answers requests on l with what a can do, until ctx ends. l is closed, and no request is worked on any more
// when it returns: what a stands on may then be taken away.
func Serve(ctx context.Context, l net.Listener, a Admin) error {
	var working sync.RWMutex
	defer working.Lock() // waits for all that work
	h := handler(a)
	counted := func(w http.ResponseWriter, r *http.Request) {
		if !working.TryRLock() {
			http.Error(w, "the daemon is stopping", http.StatusServiceUnavailable)
			return
		}
		defer working.RUnlock()
		h.ServeHTTP(w, r)
	}
	srv := &http.Server{Handler: http.HandlerFunc(counted), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func handler(a Admin) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /queue", func(w http.ResponseWriter, r *http.Request) {
		out := bufio.NewWriterSize(w, 64<<10)
		defer out.Flush()
		enc := json.NewEncoder(out)
		for m, err := range a.List(r.Context()) {
			if err != nil {
				m = Message{Error: err.Error()}
			}
			if enc.Encode(m) != nil {
				return
			}
		}
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // or half a list would look like a whole one
		}
	})
	mux.HandleFunc("GET /queue/{id}", func(w http.ResponseWriter, r *http.Request) {
		m, err := a.Show(r.Context(), spool.ID(r.PathValue("id")))
		reply(w, m, err)
	})
	mux.HandleFunc("GET /queue/{id}/content", func(w http.ResponseWriter, r *http.Request) {
		c, err := a.Content(r.Context(), spool.ID(r.PathValue("id")))
		if err != nil {
			reply(w, nil, err)
			return
		}
		defer c.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		if _, err := io.Copy(w, c); err != nil {
			panic(http.ErrAbortHandler) // as above
		}
	})
	mux.HandleFunc("POST /act", func(w http.ResponseWriter, r *http.Request) {
		var act Action
		err := json.NewDecoder(io.LimitReader(r.Body, maxAction)).Decode(&act)
		var done []Done
		if err == nil {
			done, err = a.Act(r.Context(), act)
		}
		reply(w, done, err)
	})
	mux.HandleFunc("GET /why", func(w http.ResponseWriter, r *http.Request) {
		rs, err := a.Why(r.Context(), r.URL.Query().Get("query"))
		reply(w, rs, err)
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(statusOf(err))
		v = map[string]string{"error": err.Error()}
	}
	json.NewEncoder(w).Encode(v)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, spool.ErrClaimed):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// Client is the Admin of a running daemon, over its control.sock.
type Client struct{ http *http.Client }

var _ Admin = (*Client)(nil)

// Dial prepares a client for the socket at path, which may be longer than a socket address. spool.ErrNoDaemon: nobody
// listens there; fs.ErrPermission: somebody may, but the caller may not connect.
func Dial(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		name, done, err := spool.SocketName(path)
		if err != nil {
			return nil, err
		}
		defer done()
		var d net.Dialer
		return d.DialContext(ctx, "unix", name)
	}
	c, err := dial(ctx, "", "")
	if err != nil {
		return nil, fmt.Errorf("%w on %s: %w", spool.ErrNoDaemon, path, err)
	}
	c.Close()
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://signpost"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the daemon: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e struct{ Error string }
	json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&e)
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, spool.ErrNotFound
	case http.StatusConflict:
		return nil, spool.ErrClaimed
	}
	return nil, fmt.Errorf("the daemon says: %s", e.Error)
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	resp, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

// List is as Admin says.
func (c *Client) List(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		resp, err := c.do(ctx, "GET", "/queue", nil)
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var m Message
			err := dec.Decode(&m)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && m.Error != "" {
				err = errors.New(m.Error)
			} else if err != nil {
				yield(Message{}, fmt.Errorf("reading the daemon's answer: %w", err))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// Show is as Admin says.
func (c *Client) Show(ctx context.Context, id spool.ID) (m Message, err error) {
	err = c.get(ctx, "/queue/"+url.PathEscape(string(id)), &m)
	return m, err
}

// Content is as Admin says.
func (c *Client) Content(ctx context.Context, id spool.ID) (io.ReadCloser, error) {
	resp, err := c.do(ctx, "GET", "/queue/"+url.PathEscape(string(id))+"/content", nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Act is as Admin says.
func (c *Client) Act(ctx context.Context, a Action) (done []Done, err error) {
	resp, err := c.do(ctx, "POST", "/act", a)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&done)
	return done, err
}

// Why is as Admin says.
func (c *Client) Why(ctx context.Context, query string) (rs []history.Record, err error) {
	err = c.get(ctx, "/why?query="+url.QueryEscape(query), &rs)
	return rs, err
}
