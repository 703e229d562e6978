-- Once per environment, as postgres, before the first release. Cloud SQL makes every login a member of cloudsqlsuperuser.
revoke cloudsqlsuperuser from runtime, reader, drill;
alter database effect_cluster owner to migrator;
grant runtime to migrator;
