<?php
require '/usr/share/php/libphp-phpmailer/autoload.php';

$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->{$argv[1]}();
$mail->CharSet = 'utf-8';
$mail->setFrom('ann@www1.example.test', 'Ann', false);
$mail->Sender = 'bounces@www1.example.test';
$mail->addAddress('bob@example.net', 'Bob');
$mail->addCC('carol@example.net');
$mail->addBCC('dora@example.net');
$mail->Subject = 'Grüße';
$mail->Body = "Grüße\n.\n..\nFrom here on\nlast line\n";
$mail->send();
