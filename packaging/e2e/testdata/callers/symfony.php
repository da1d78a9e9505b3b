<?php
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';

use Symfony\Component\Mailer\Envelope;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Address;
use Symfony\Component\Mime\Email;

$mail = (new Email())
    ->from(new Address('ann@www1.example.test', 'Ann'))
    ->to(new Address('bob@example.net', 'Bob'))
    ->cc('carol@example.net')
    ->bcc('dora@example.net')
    ->returnPath('bounces@www1.example.test')
    ->subject('Grüße')
    ->text("Grüße\n.\n..\nFrom here on\nlast line\n");
Transport::fromDsn($argv[1])->send($mail);
