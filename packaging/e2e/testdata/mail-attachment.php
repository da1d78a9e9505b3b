<?php
// A message with the file argv[1] attached, as libraries for PHP build it: CRLF everywhere.
$boundary = '=_' . md5('boundary');
$body = "--$boundary\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nThe file is attached.\r\n"
	. "--$boundary\r\nContent-Type: application/octet-stream; name=\"file.bin\"\r\nContent-Transfer-Encoding: base64\r\n"
	. "Content-Disposition: attachment; filename=\"file.bin\"\r\n\r\n" . chunk_split(base64_encode(file_get_contents($argv[1])))
	. "--$boundary--\r\n";
exit(mail('bob@example.net', 'A file', $body, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"$boundary\"",
	'-f ann@www1.example.test -oi') ? 0 : 1);
