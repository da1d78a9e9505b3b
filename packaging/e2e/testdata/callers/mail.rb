require 'mail'

Mail.defaults { delivery_method :sendmail }
Mail.deliver do
  from    'ann@www1.example.test'
  to      'Bob <bob@example.net>'
  cc      'carol@example.net'
  bcc     'dora@example.net'
  subject 'Grüße'
  self.charset = 'UTF-8'
  body    "Grüße\n.\n..\nFrom here on\nlast line\n"
end
