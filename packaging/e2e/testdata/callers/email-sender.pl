use strict;
use utf8;
use Email::Sender::Simple qw(sendmail);
use Email::Sender::Transport::Sendmail;
use Email::Simple;

my $mail = Email::Simple->create(
    header => [From => 'ann@www1.example.test', To => 'bob@example.net', Subject => 'hello'],
    body   => "Gr\xc3\xbc\xc3\x9fe\n.\n..\nFrom here on\nlast line\n",
);
sendmail($mail, {from => 'bounces@www1.example.test', to => ['bob@example.net', 'dora@example.net'],
    transport => Email::Sender::Transport::Sendmail->new});
