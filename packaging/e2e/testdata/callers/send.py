import subprocess
from email.message import EmailMessage

mail = EmailMessage()
mail["From"] = "Ann Ünal <ann@www1.example.test>"
mail["To"] = "bob@example.net"
mail["Cc"] = "carol@example.net"
mail["Bcc"] = "dora@example.net"
mail["Subject"] = "Grüße"
mail.set_content("Grüße\n.\n..\nFrom here on\nlast line\n")
mail.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="file.bin")
subprocess.run(["/usr/sbin/sendmail", "-t", "-oi"], input=bytes(mail), check=True)
