<?php
require __DIR__ . '/../lib/store.php';
answer(['machines' => workshop()['machines']]);
