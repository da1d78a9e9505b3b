<?php
// argv[1] messages, one after the other; each has its number.
for ($i = 1; $i <= (int)$argv[1]; $i++) {
	if (!mail("user$i@example.net", "Newsletter $i", "Dear user $i,\n\nyours")) {
		fwrite(STDERR, "mail() $i returned false\n");
		exit(1);
	}
}
