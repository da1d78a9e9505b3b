<?php
// One message with all that mail() takes. The fifth argument is quoted for the shell by PHP, word by word.
$body = "Grüße\n.\n..\n.two\nlast line";
$ok = mail('bob@example.net, Carol <carol@example.net>', 'Grüße aus Köln, und noch mehr', $body, [
	'From' => 'Ann Ünal <ann@www1.example.test>',
	'Cc' => 'dora@example.net',
	'Bcc' => 'erik@example.net',
	'MIME-Version' => '1.0',
	'Content-Type' => 'text/plain; charset=UTF-8',
	'Content-Transfer-Encoding' => '8bit',
], '-fbounces@www1.example.test');
exit($ok ? 0 : 1);
