use strict;
use Mail::Mailer;

my $mail = Mail::Mailer->new('sendmail');
$mail->open({From => 'ann@www1.example.test', To => ['bob@example.net', 'carol@example.net'], Bcc => 'dora@example.net', Subject => 'hello'});
# It calls without -i, so a line of one dot would end the message.
print $mail "one\n..\nlast line\n";
$mail->close or die "close: $!";
