const nodemailer = require('nodemailer');

nodemailer.createTransport({ sendmail: true, path: '/usr/sbin/sendmail' }).sendMail({
  envelope: { from: 'bounces@www1.example.test', to: ['bob@example.net', 'carol@example.net', 'dora@example.net'] },
  from: 'Ann <ann@www1.example.test>',
  to: 'bob@example.net',
  cc: 'carol@example.net',
  bcc: 'dora@example.net',
  subject: 'Grüße',
  text: 'Grüße\n.\n..\nFrom here on\nlast line\n',
}).catch((err) => { console.error(err); process.exitCode = 1; });
