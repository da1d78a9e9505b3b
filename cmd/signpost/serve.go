package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"signpost/mta"
)

func newServeCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground: take mail from sendmail, deliver what is in the spool, answer the administrator.

SIGHUP reads the configuration again; a bad one is refused and the old one stays. SIGTERM and SIGINT finish the
deliveries in flight and stop; a second one stops at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.load()
			if err != nil {
				return err
			}
			log := mta.NewLogger(cmd.ErrOrStderr(), cfg.Log)
			d, err := mta.Start(cmd.Context(), cfg, mta.Options{Log: log, Reload: g.load, Config: g.config, Confine: true})
			if err != nil {
				return err
			}
			return serve(cmd.Context(), d, log)
		},
	}
}

// serve runs d until a signal ends it.
func serve(ctx context.Context, d *mta.Daemon, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for stopping := false; ; {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				if err := d.Reload(); err != nil {
					log.Error("the configuration was not reloaded; the old one stays in force", "err", err)
				}
			case stopping:
				log.Warn("stopped at once")
				os.Exit(1)
			default:
				stopping = true
				log.Info("stopping: finishing what is in flight", "signal", s.String())
				stop()
			}
		}
	}
}
