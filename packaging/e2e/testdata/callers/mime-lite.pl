use strict;
use MIME::Lite;

my $mail = MIME::Lite->new(From => 'Ann <ann@www1.example.test>', To => 'bob@example.net', Cc => 'carol@example.net',
    Bcc => 'dora@example.net', Subject => 'hello', Type => 'multipart/mixed');
$mail->attach(Type => 'text/plain; charset=utf-8', Encoding => '8bit', Data => "Gr\xc3\xbc\xc3\x9fe\n.\n..\nFrom here on\nlast line\n");
$mail->attach(Type => 'application/octet-stream', Encoding => 'base64', Data => join('', map { chr } 0 .. 255), Filename => 'file.bin');
$mail->send('sendmail') or die "send: $!";
