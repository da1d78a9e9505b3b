(require 'message)
(setq user-mail-address "ann@www1.example.test" user-full-name "Ann"
      send-mail-function 'sendmail-send-it
      message-send-mail-function 'message-send-mail-with-sendmail
      message-confirm-send nil mail-specify-envelope-from t mail-envelope-from 'header)
(message-mail "bob@example.net" "Grüße" '(("Cc" . "carol@example.net") ("Bcc" . "dora@example.net")))
(message-goto-body)
(insert "Grüße\n.\n..\nFrom here on\nlast line\n")
(message-send)
