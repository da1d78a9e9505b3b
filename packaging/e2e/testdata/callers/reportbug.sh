# The report goes where the package wants it, which is not Debian. The program takes no address in the domains that are
# reserved for tests.
set -e
reportbug --no-config-files --offline --mode expert --ui text --email ann@www1.home.arpa --realname Ann --no-check-installed \
	--no-query-bts --no-check-available --no-bug-script --no-cc-menu --no-tags-menu --no-cc --severity normal --subject hello \
	--body 'Grüße' --editor true --draftpath /tmp procmail
