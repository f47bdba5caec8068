<?php
require __DIR__ . '/../../lib/check.php';
check_login('staff');

$data = workshop();
$count = array_count_values(array_column($data['bookings'], 'machine'));
answer(['usage' => array_map(fn (array $machine) => ['machine' => $machine['name'], 'bookings' => $count[$machine['id']] ?? 0], $data['machines'])]);
