package compat

import "context"

func (c *command) verify(ctx context.Context) error { return nil }
