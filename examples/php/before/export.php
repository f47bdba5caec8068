<?php
// php export.php > people.csv: the people of this site, for `demur user import people.csv`.
$out = fopen('php://output', 'w');
fputcsv($out, ['name', 'display_name', 'email', 'groups', 'password_hash'], ',', '"', '');
foreach (require __DIR__ . '/lib/people.php' as $user => $person) {
    fputcsv($out, [$user, $person['name'], $person['email'], implode(';', $person['groups']), $person['hash']], ',', '"', '');
}
