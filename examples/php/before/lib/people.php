<?php
// Who may sign in. The hashes are made with password_hash($password, PASSWORD_BCRYPT).

return [
    'ada' => ['name' => 'Ada Lindqvist', 'email' => 'ada@workshop.example', 'groups' => ['staff', 'admins'], 'hash' => '$2y$10$INJYFeuEReRwocsN5dkf4O1gBgH9tkK5.p59Tw6y1HMOJcIhzUDw2'],
    'ben' => ['name' => 'Ben Okafor', 'email' => 'ben@workshop.example', 'groups' => [], 'hash' => '$2y$10$ZXxSLk92Ar80DEwiB/qoFeSGvGCU6JeavgGPTO54NXh4pwpw62ZdK'],
    'cleo' => ['name' => 'Cleo Marsh', 'email' => 'cleo@workshop.example', 'groups' => ['staff'], 'hash' => '$2y$10$2dm1m3srAdeW84gN1qyot.b6npHPBMrwWqMs.EfD2bJjLSRh7ncOa'],
    'dov' => ['name' => 'Dov Årud', 'email' => 'dov@workshop.example', 'groups' => [], 'hash' => '$2y$10$RwWOZ4r3jqoTSH5xcK6hg.CDTRdKg8nTNSoIJC6H9zn1K/0FU2t9i'],
];
