# The program's own functions, as it calls them after an upgrade.
import importlib.machinery
import importlib.util
import io

import apt_pkg

loader = importlib.machinery.SourceFileLoader("unattended_upgrade", "/usr/bin/unattended-upgrade")
spec = importlib.util.spec_from_loader(loader.name, loader)
uu = importlib.util.module_from_spec(spec)
loader.exec_module(uu)
apt_pkg.init_config()
apt_pkg.config.set("Unattended-Upgrade::Mail", "bob@example.net")
uu.send_summary_mail(["greeting"], True, "All upgrades installed", uu.KeptPkgs(set), [], [], io.StringIO("Grüße\n"), "")
